import { createPublicKey } from "node:crypto";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  request,
  type Server,
} from "node:http";
import { type AddressInfo, connect, type Server as NetServer } from "node:net";
import { tmpdir } from "node:os";
import { type JWK, SignJWT } from "jose";
import { pino } from "pino";
import type {
  AccessProxyOptions,
  Destination,
  DestinationPolicy,
} from "../../../src/access-proxy/index.ts";
import {
  ACCESS_PROXY_DEFAULTS,
  AccessProxy,
  type AccessProxyParts,
  accessProxyServer,
  type CallOutcome,
  localCallers,
  MemorySessions,
  referralHash,
  type TokenRecord,
  writeUnsignedJwt,
} from "../../../src/access-proxy/index.ts";
import { newPrivateKey } from "../../../src/core/new-private-key.ts";

export const SELF = "https://from.example";
export const TO_TA = "https://to.example";
/** Main ID provider of the rig's one token. */
export const IDP_A = "https://idp-a.example";
/** The field by which a call names the target as TO_TA. */
export const ID: readonly string[] = ["X-Access-Proxy-To-Id", TO_TA];

/** One destination, as TO_TA: whatever its scheme and address, unless said otherwise. */
export function onlyTo(origin: string, of: Partial<Destination> = {}): DestinationPolicy {
  const open = { pathPrefix: "/", allowHttp: true, allowPrivate: true, device: null };
  return { allowAny: false, destinations: [{ origin, taId: TO_TA, ...open, ...of }] };
}

/** A message as it was received, its body whole. */
export interface Received {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

export interface Answered extends Received {
  readonly status: number;
}

/** Values of a field, one for each line. */
export function lines(message: Pick<Received, "rawHeaders">, name: string): string[] {
  return message.rawHeaders.filter(
    (_, at) => at % 2 === 1 && message.rawHeaders[at - 1]?.toLowerCase() === name,
  );
}

export async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of message) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

export async function received(message: IncomingMessage): Promise<Received> {
  const { method = "", url = "", rawHeaders, headers } = message;
  return { method, url, rawHeaders, headers, body: await bodyOf(message) };
}

/** A server on a free port of the loopback. */
export async function listening(server: NetServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

interface SigningKey {
  readonly jwk: JWK;
  readonly publicJwk: JWK;
}

/** A new ES256 pair. */
export function signingKey(kid: string): SigningKey {
  const privateKey = newPrivateKey({ type: "ec", curve: "P-256" });
  const facts = { kid, alg: "ES256", use: "sig" };
  return {
    jwk: { ...(privateKey.export({ format: "jwk" }) as JWK), ...facts },
    publicJwk: { ...(createPublicKey(privateKey).export({ format: "jwk" }) as JWK), ...facts },
  };
}

export async function signed(jwk: JWK, claims: Record<string, unknown>): Promise<string> {
  const { importJWK } = await import("jose");
  const { alg = "ES256", kid = "" } = jwk;
  return new SignJWT(claims).setProtectedHeader({ alg, kid }).sign(await importJWK(jwk, alg));
}

/** What an ID provider of a test was sent. */
export type Asked = Record<string, unknown>;

/** An ID provider that grants everything, unless a test says what to answer instead. */
export class ScriptedIdp {
  readonly issuer: string;
  readonly asked: Asked[] = [];
  /** Answers in place of the grant; for one test. */
  instead: RequestListener | null = null;
  /** Changes the claims of the code token that is granted. */
  alter: (claims: Record<string, unknown>) => Record<string, unknown> = (claims) => claims;
  readonly #key: SigningKey;
  readonly #server: Server;
  #port = 0;

  constructor(issuer: string, key: SigningKey) {
    this.issuer = issuer;
    this.#key = key;
    this.#server = createServer((message, answer) => {
      if (this.instead !== null) this.instead(message, answer);
      else
        void this.#grant(message).then((body) =>
          answer.setHeader("Content-Type", "application/json").end(body),
        );
    });
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}/api/coop/from`;
  }

  get publicJwk(): JWK {
    return this.#key.publicJwk;
  }

  async start(): Promise<void> {
    this.#port = await listening(this.#server);
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #grant(message: IncomingMessage): Promise<string> {
    const asked = JSON.parse((await bodyOf(message)).toString()) as Asked;
    this.asked.push(asked);
    const isMain = asked["grant_type"] === "access_token";
    const wantsReferral = asked["response_type"] === "code_token referral";
    const from = { iss: this.issuer, aud: asked["to_client"] ?? TO_TA, from_client: SELF };
    const referral = wantsReferral
      ? await signed(this.#key.jwk, {
          iss: this.issuer,
          sub: SELF,
          jti: `${this.asked.length}`,
          hash_alg: asked["hash_alg"],
        })
      : asked["referral"];
    const claims = {
      ...from,
      sub: `code-${this.asked.length}`,
      ...(isMain ? { user_tag: asked["user_tag"] } : {}),
      ...(asked["users"] === undefined ? {} : { user_tags: Object.keys(asked["users"] as object) }),
      ...(typeof referral === "string" ? { ref_hash: referralHash("SHA256", referral) } : {}),
    };
    const code_token = await signed(this.#key.jwk, this.alter(claims));
    return JSON.stringify({ code_token, ...(wantsReferral ? { referral } : {}) });
  }
}

export interface ProxyRig {
  readonly port: number;
  readonly sessions: MemorySessions;
  readonly outcomes: CallOutcome[];
  readonly logs: string[];
  readonly tokens: Map<string, TokenRecord>;
  readonly idps: ReadonlyMap<string, ScriptedIdp>;
  /** Public key of the TA that calls. */
  readonly publicJwk: JWK;
  /** The target's address, which is listed as that of TO_TA. */
  readonly target: string;
  /** What the target received, in order. */
  readonly received: Received[];
  /** How the target answers once it has read the whole request. */
  answer: (message: Received, answer: Parameters<RequestListener>[1]) => void;
  /** How the target answers before it reads; a test's own matter from there. */
  instead: RequestListener | null;
  /** Milliseconds since 1970, as the proxy sees them. */
  now: number;
  call(of?: Partial<CallOf>): Promise<Answered>;
  stop(): Promise<void>;
}

/** A request of the backend. */
export interface CallOf {
  readonly method: string;
  readonly path: string;
  /** Path and query at the target. */
  readonly at: string;
  /** Target in place of the rig's. */
  readonly to: string;
  readonly users: Readonly<Record<string, object>>;
  readonly headers: readonly string[];
  readonly body: Buffer | string | AsyncIterable<Uint8Array>;
}

export const PRINCIPAL = { me: { at_tag: "tag-1" } };
export const T0 = Date.UTC(2026, 0, 1);

export interface RigOptions {
  readonly options?: Partial<AccessProxyOptions>;
  readonly parts?: Partial<AccessProxyParts>;
  readonly pathProx?: string;
  /** Issuers; the first one issued the token of `tag-1`. */
  readonly issuers?: readonly string[];
}

/** A proxy between a scripted target and scripted ID providers, all on the loopback. */
export async function startRig({
  options = {},
  parts = {},
  pathProx = "/",
  issuers = [IDP_A, "https://idp-b.example", "https://idp-c.example"],
}: RigOptions = {}): Promise<ProxyRig> {
  const own = signingKey("from-1");
  const idps = new Map<string, ScriptedIdp>();
  for (const issuer of issuers) {
    const idp = new ScriptedIdp(issuer, signingKey(`${issuer}-1`));
    await idp.start();
    idps.set(issuer, idp);
  }
  const targetServer = createServer({ maxHeaderSize: 262_144 }, (message, answer) => {
    if (rig.instead !== null) return rig.instead(message, answer);
    void received(message).then(
      (whole) => {
        rig.received.push(whole);
        rig.answer(whole, answer);
      },
      () => undefined,
    );
  });
  targetServer.maxHeadersCount = 0;
  const origin = `http://127.0.0.1:${await listening(targetServer)}`;
  const tokens = new Map<string, TokenRecord>();
  const token = { token: "access-token-secret", tag: "tag-1", issuer: issuers[0] ?? "" };
  tokens.set("tag-1", { ...token, expiresAt: T0 + 3_600_000 });
  const sessions = new MemorySessions({ wallNow: () => rig.now });
  const outcomes: CallOutcome[] = [];
  const logs: string[] = [];
  const proxy = new AccessProxy(
    {
      ...ACCESS_PROXY_DEFAULTS,
      selfId: SELF,
      sigAlg: "ES256",
      sigKid: "from-1",
      tempFolder: tmpdir(),
      destinationPolicy: onlyTo(origin),
      ...options,
    },
    {
      keys: { get: () => [own.jwk] },
      idps: {
        get: (issuer) => {
          const idp = idps.get(issuer);
          if (idp === undefined) return undefined;
          return {
            issuer,
            cooperationFromEndpoint: idp.endpoint,
            jwks: [idp.publicJwk],
            jwksUri: null,
          };
        },
      },
      tokens: { getByTag: (_scope, tag) => tokens.get(tag) },
      sessions,
      callers: localCallers,
      logger: pino({ level: "trace" }, { write: (line: string) => void logs.push(line) }),
      observer: { callEnded: (outcome) => void outcomes.push(outcome) },
      wallNow: () => rig.now,
      ...parts,
    },
  );
  const server = accessProxyServer(proxy, { pathProx, pathOk: "/ok" });
  const port = await listening(server);
  const rig: ProxyRig = {
    port,
    sessions,
    outcomes,
    logs,
    tokens,
    idps,
    publicJwk: own.publicJwk,
    target: origin,
    received: [],
    answer: (_message, answer) => void answer.end("done"),
    instead: null,
    now: T0,
    call: (of = {}) => call(port, { to: origin + (of.at ?? "/x"), ...of }),
    stop: async () => {
      await proxy.close();
      for (const one of [server, targetServer]) {
        one.close();
        one.closeAllConnections();
      }
      for (const idp of idps.values()) idp.stop();
    },
  };
  return rig;
}

async function call(port: number, of: Partial<CallOf>): Promise<Answered> {
  const { method = "GET", path = "/", to = "", users = PRINCIPAL, headers = [], body } = of;
  const own =
    lines({ rawHeaders: headers }, "x-access-proxy-to").length > 0 ? [] : ["X-Access-Proxy-To", to];
  const account =
    lines({ rawHeaders: headers }, "x-access-proxy-users").length > 0
      ? []
      : ["X-Access-Proxy-Users", writeUnsignedJwt(users)];
  const framing =
    body === undefined
      ? []
      : typeof body === "string" || body instanceof Buffer
        ? ["Content-Length", String(Buffer.byteLength(body))]
        : ["Transfer-Encoding", "chunked"];
  const fields = ["Host", `127.0.0.1:${port}`, ...own, ...account, ...framing, ...headers];
  const out = request({
    port,
    host: "127.0.0.1",
    method,
    path,
    agent: false,
    maxHeaderSize: 1_048_576,
    headers: fields as unknown as Record<string, string>,
  });
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    out.once("response", resolve);
    out.once("error", reject);
  });
  if (body === undefined || typeof body === "string" || body instanceof Buffer) out.end(body);
  else {
    for await (const piece of body) {
      if (out.destroyed) break;
      if (!out.write(piece))
        await new Promise((resolve) => out.once("drain", resolve).once("close", resolve));
    }
    out.end();
  }
  const message = await answer;
  return { ...(await received(message)), status: message.statusCode ?? 0 };
}

/** Sends bytes as they are and gives all that came back until the end. */
export async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(text);
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString("latin1");
}
