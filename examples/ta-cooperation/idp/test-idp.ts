import type { IncomingMessage, ServerResponse } from "node:http";
import type { JWK } from "jose";
import { answerJson, answerOAuthError, type Json, readJson } from "../wire/json-http.ts";
import { httpServer, type LoopbackServer, listenOnLoopback } from "../wire/loopback-server.ts";
import { OAuthError } from "../wire/oauth-error.ts";
import { PartyKeys } from "../wire/party-keys.ts";
import type { Signer } from "../wire/signed-jwt.ts";
import { ClientAuthenticator } from "./client-authenticator.ts";
import type { IdpContext } from "./context.ts";
import { coopFrom } from "./coop-from.ts";
import { coopTo } from "./coop-to.ts";
import { Directory } from "./directory.ts";
import { Grants } from "./grants.ts";

/** A request to one of the cooperation endpoints, and its answer. */
export interface Exchange {
  readonly issuer: string;
  readonly endpoint: "coop-from" | "coop-to";
  /** Null where it could not be read. */
  readonly request: Json | null;
  readonly status: number;
  readonly answer: Json;
}

export interface TestIdpOptions {
  readonly issuer: string;
  readonly signer: Signer;
  /** Default true. */
  readonly singleUseCodes?: boolean;
  /** How long referrals and ids_tokens are good; default ten minutes. */
  readonly tokenLifetimeMs?: number;
  /** Entries of each table; default 10,000. */
  readonly entriesMax?: number;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly wallNow?: () => number;
  /** Is told of each exchange before its answer leaves. */
  readonly observe?: (exchange: Exchange) => void;
}

/** An access token to issue. */
export interface TokenOrder {
  readonly accountId: string;
  /** TA that gets it. */
  readonly clientId: string;
  /** Default `openid`. */
  readonly scopes?: readonly string[];
  /** Default one hour. */
  readonly expiresInS?: number;
}

const COOP_FROM_PATH = "/api/coop/from";
const COOP_TO_PATH = "/api/coop/to";
const KEYS_PATH = "/jwks";
const ENTRIES_MAX = 10_000;
const TOKEN_LIFETIME_MS = 600_000;
const ACCESS_TOKEN_LIFETIME_S = 3_600;

type Endpoint = (request: Json, url: string, context: IdpContext) => Promise<Json>;

/**
 * An ID provider for tests, on loopback: coop-from, coop-to and its key set. Accounts, TAs, consents and other ID providers are put
 * into its directory; access tokens are had by asking.
 *
 * @see TA cooperation, sections 5 and 7
 */
export class TestIdp {
  readonly issuer: string;
  readonly directory: Directory;
  readonly #grants: Grants;
  readonly #context: IdpContext;
  readonly #observe: (exchange: Exchange) => void;
  readonly #publicKey: JWK;
  #server: LoopbackServer | null = null;

  constructor(options: TestIdpOptions) {
    const { issuer, signer, entriesMax = ENTRIES_MAX, wallNow = Date.now } = options;
    const { singleUseCodes = true, tokenLifetimeMs = TOKEN_LIFETIME_MS } = options;
    this.issuer = issuer;
    this.#observe = options.observe ?? (() => undefined);
    this.#publicKey = publicPart(signer);
    this.directory = new Directory({ entriesMax, pairwiseSalt: issuer });
    this.#grants = new Grants({ entriesMax, singleUseCodes, wallNow });
    const keys = new PartyKeys(wallNow);
    this.#context = {
      issuer,
      signer,
      keys,
      wallNow,
      tokenLifetimeMs,
      directory: this.directory,
      grants: this.#grants,
      clients: new ClientAuthenticator(this.directory, keys, { entriesMax, wallNow }),
    };
  }

  /** Listens on loopback. */
  async start(): Promise<this> {
    this.#server = await listenOnLoopback(
      httpServer((request, answer) => void this.#serve(request, answer)),
    );
    return this;
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  get coopFromUrl(): string {
    return this.#url(COOP_FROM_PATH);
  }

  get coopToUrl(): string {
    return this.#url(COOP_TO_PATH);
  }

  get jwksUrl(): string {
    return this.#url(KEYS_PATH);
  }

  /** Signs an account in at a TA: returns the new access token. */
  issueToken({ accountId, clientId, scopes, expiresInS }: TokenOrder): string {
    const lifetimeMs = (expiresInS ?? ACCESS_TOKEN_LIFETIME_S) * 1_000;
    return this.#grants.issueToken({
      accountId,
      clientId,
      scopes: scopes ?? ["openid"],
      expiresAtMs: this.#context.wallNow() + lifetimeMs,
    });
  }

  revokeToken(token: string): void {
    this.#grants.revokeToken(token);
  }

  #url(path: string): string {
    if (this.#server === null) throw new Error("the test ID provider was not started");
    return this.#server.url + path;
  }

  async #serve(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    const [path] = (request.url ?? "").split("?", 1);
    switch (path) {
      case COOP_FROM_PATH:
        return this.#exchange(request, answer, "coop-from", this.coopFromUrl, coopFrom);
      case COOP_TO_PATH:
        return this.#exchange(request, answer, "coop-to", this.coopToUrl, coopTo);
      case KEYS_PATH:
        return answerJson(answer, 200, { keys: [this.#publicKey] });
      default:
        answerOAuthError(answer, new OAuthError(404, "invalid_request", "no such endpoint"));
    }
  }

  async #exchange(
    request: IncomingMessage,
    answer: ServerResponse,
    endpoint: Exchange["endpoint"],
    url: string,
    handle: Endpoint,
  ): Promise<void> {
    const { issuer } = this;
    if (request.method !== "POST") {
      const error = new OAuthError(405, "invalid_request", "the method must be POST");
      answerOAuthError(answer, error, { Allow: "POST" });
      return;
    }
    let body: Json | null = null;
    try {
      body = await readJson(request);
      const told = await handle(body, url, this.#context);
      this.#observe({ issuer, endpoint, request: body, status: 200, answer: told });
      answerJson(answer, 200, told);
    } catch (error) {
      if (answer.destroyed) return;
      const { status, error: code, message } = answerOAuthError(answer, error);
      const told = { error: code, error_description: message };
      this.#observe({ issuer, endpoint, request: body, status, answer: told });
    }
  }
}

/** What may be shown of a signer's key. */
function publicPart({ alg, jwk }: Signer): JWK {
  const { kty, crv, x, y, n, e, kid } = jwk;
  const parts = Object.entries({ kty, crv, x, y, n, e, kid, use: "sig", alg });
  return Object.fromEntries(parts.filter(([, value]) => value !== undefined)) as JWK;
}
