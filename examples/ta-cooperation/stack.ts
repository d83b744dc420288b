import { tmpdir } from "node:os";
import type { JWK } from "jose";
import { pino } from "pino";
import {
  ACCESS_PROXY_DEFAULTS,
  AccessProxy,
  type AccessProxyOptions,
  accessProxyServer,
  localCallers,
  MemorySessions,
  namingUs,
  newSigningKey,
  type TokenRecord,
} from "../../src/access-proxy/index.ts";
import { type Exchange, TestIdp, type TestIdpOptions } from "./idp/index.ts";
import { type ContentHandler, type ReceivedRequest, TestReceiver } from "./receiver/index.ts";
import { listenOnLoopback } from "./wire/loopback-server.ts";
import type { Signer } from "./wire/signed-jwt.ts";

export const FROM_TA = "https://from.example";
export const TO_TA = "https://to.example";
export const IDP_A = "https://idp-a.example";
export const IDP_B = "https://idp-b.example";
/** Account of the principal, at ID provider A. */
export const ALICE = "u-1001";
/** Another account at ID provider A. */
export const CAROL = "u-1002";
/** Account at ID provider B. */
export const BOB = "u-2002";
/** Handle of the principal's access token in the from-TA's store. */
export const AT_TAG = "kQ7mZp3xLa";

export interface StackOptions {
  readonly content: ContentHandler;
  /** Laid over the proxy's options. */
  readonly proxy?: Partial<AccessProxyOptions>;
  /** Laid over the options of both ID providers. */
  readonly idp?: Partial<Pick<TestIdpOptions, "singleUseCodes" | "tokenLifetimeMs" | "entriesMax">>;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly wallNow?: () => number;
  readonly onExchange?: (exchange: Exchange) => void;
  readonly onRequest?: (request: ReceivedRequest) => void;
}

/** All parties of TA cooperation, on loopback, with keys of their own. */
export interface Stack {
  readonly idpA: TestIdp;
  readonly idpB: TestIdp;
  readonly receiver: TestReceiver;
  /** `http://127.0.0.1:<port>` of the access proxy. */
  readonly proxyUrl: string;
  readonly signers: Readonly<Record<"from" | "to" | "idpA" | "idpB", Signer>>;
  /** The access token behind {@link AT_TAG}. */
  readonly accessToken: string;
  close(): Promise<void>;
}

/** A new ES256 key pair; the public half alone is what others may know. */
export async function newSigner(kid: string): Promise<Signer> {
  const { privateJwk } = await newSigningKey("ES256", kid);
  return { alg: "ES256", jwk: privateJwk };
}

/** What others may know of a signer's key. */
export function publicJwk({ jwk: { d: _private, ...rest } }: Signer): JWK {
  return rest;
}

/** The parties' acquaintance with each other: accounts, TAs, consents. */
function introduce(idpA: TestIdp, idpB: TestIdp, from: Signer, to: Signer): void {
  for (const idp of [idpA, idpB]) {
    idp.directory.addTa({ clientId: FROM_TA, jwks: [publicJwk(from)] });
    idp.directory.addTa({ clientId: TO_TA, jwks: [publicJwk(to)] });
  }
  idpA.directory.addIdp({ issuer: IDP_B, jwksUri: idpB.jwksUrl });
  idpB.directory.addIdp({ issuer: IDP_A, jwksUri: idpA.jwksUrl });
  const consent = { scopes: ["openid"], claims: [] };
  const accounts = [
    [idpA, ALICE, "Alice"],
    [idpA, CAROL, "Carol"],
    [idpB, BOB, "Bob"],
  ] as const;
  for (const [idp, id, name] of accounts) {
    idp.directory.addAccount({ id, attributes: { name } });
    idp.directory.consent(id, TO_TA, consent);
  }
}

/** Starts two ID providers, a receiving TA and an access proxy. Who starts a stack closes it. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { wallNow = Date.now, onExchange: observe } = options;
  const [from, to, keyA, keyB] = await Promise.all(
    ["from-1", "to-1", "idp-a-1", "idp-b-1"].map(newSigner),
  );
  if (from === undefined || to === undefined || keyA === undefined || keyB === undefined) {
    throw new Error("four signers were made");
  }
  const idpOptions = { ...options.idp, wallNow, ...(observe === undefined ? {} : { observe }) };
  const idpA = await new TestIdp({ ...idpOptions, issuer: IDP_A, signer: keyA }).start();
  const idpB = await new TestIdp({ ...idpOptions, issuer: IDP_B, signer: keyB }).start();
  introduce(idpA, idpB, from, to);
  const receiver = await new TestReceiver({
    wallNow,
    selfId: TO_TA,
    signer: to,
    idps: [idpA, idpB].map(({ issuer, coopToUrl, jwksUrl }) => ({
      issuer,
      coopToUrl,
      jwksUri: jwksUrl,
    })),
    content: options.content,
    secureCookie: false,
    ...(options.onRequest === undefined ? {} : { observe: options.onRequest }),
  }).start();
  const accessToken = idpA.issueToken({ accountId: ALICE, clientId: FROM_TA });
  const token: TokenRecord = {
    token: accessToken,
    tag: AT_TAG,
    issuer: IDP_A,
    expiresAt: wallNow() + 3_600_000,
  };
  const proxy = await startProxy(options, { idps: [idpA, idpB], receiver, from, token, wallNow });
  return {
    idpA,
    idpB,
    receiver,
    accessToken,
    proxyUrl: proxy.url,
    signers: { from, to, idpA: keyA, idpB: keyB },
    close: async () => {
      await proxy.close();
      await Promise.all([idpA.close(), idpB.close(), receiver.close()]);
    },
  };
}

interface ProxyParts {
  readonly idps: readonly TestIdp[];
  readonly receiver: TestReceiver;
  readonly from: Signer;
  readonly token: TokenRecord;
  readonly wallNow: () => number;
}

/** The access proxy of the from-TA, which knows one access token and may call one TA. */
async function startProxy(
  { proxy: changed }: StackOptions,
  { idps, receiver, from, token, wallNow }: ProxyParts,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const records = new Map(
    idps.map(({ issuer, coopFromUrl, jwksUrl }) => [
      issuer,
      { issuer, cooperationFromEndpoint: coopFromUrl, jwks: null, jwksUri: jwksUrl },
    ]),
  );
  const hosts = new Set<string>();
  const proxy = new AccessProxy(
    {
      ...ACCESS_PROXY_DEFAULTS,
      selfId: FROM_TA,
      sigAlg: from.alg,
      sigKid: from.jwk.kid ?? "",
      tempFolder: tmpdir(),
      destinationPolicy: {
        allowAny: false,
        destinations: [
          {
            origin: receiver.url,
            taId: TO_TA,
            pathPrefix: "/",
            allowHttp: true,
            allowPrivate: true,
            device: null,
          },
        ],
      },
      ...changed,
    },
    {
      keys: { get: () => [from.jwk] },
      idps: { get: (issuer) => records.get(issuer) },
      tokens: { getByTag: (_scope, tag) => (tag === token.tag ? token : undefined) },
      sessions: new MemorySessions({ wallNow }),
      callers: namingUs(hosts, localCallers),
      logger: pino({ level: "silent" }),
      wallNow,
    },
  );
  const server = await listenOnLoopback(accessProxyServer(proxy, { pathProx: "/", pathOk: "/ok" }));
  hosts.add(`127.0.0.1:${server.port}`);
  hosts.add(`localhost:${server.port}`);
  return {
    url: server.url,
    close: async () => {
      await server.close();
      await proxy.close();
    },
  };
}
