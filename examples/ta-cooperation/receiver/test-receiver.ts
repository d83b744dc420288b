import type { IncomingMessage, ServerResponse } from "node:http";
import { ClientAssertions, printableAscii, randomString } from "../../../src/access-proxy/index.ts";
import { ExpiringMap } from "../wire/expiring-map.ts";
import { answerOAuthError } from "../wire/json-http.ts";
import { httpServer, type LoopbackServer, listenOnLoopback } from "../wire/loopback-server.ts";
import { accessDenied, OAuthError } from "../wire/oauth-error.ts";
import { PartyKeys } from "../wire/party-keys.ts";
import type { Signer } from "../wire/signed-jwt.ts";
import { type AuthFields, authFields, isOnlyIdentity } from "./auth-fields.ts";
import { type ReceiverIdp, readCodeTokens } from "./code-tokens.ts";
import { type NewToken, type Redeemed, redeem } from "./redeem.ts";
import { Refusals } from "./refusals.ts";
import { addFields, takeOut } from "./request-edit.ts";

/**
 * What stands behind the receiver. It finds `X-Auth-…` among the request's fields, and must not set `X-Edo-Cooperation-Error`;
 * whatever it throws is 500.
 */
export type ContentHandler = (
  request: IncomingMessage,
  answer: ServerResponse,
) => void | Promise<void>;

/** A request as it came, and once more as the content handler got it or as it was refused. */
export interface ReceivedRequest {
  readonly at: "arrival" | "content" | "refusal";
  readonly method: string;
  readonly url: string;
  /** Names and values in turn; of a refusal those of the answer that tell it from others. */
  readonly fields: readonly string[];
  /** Of a refusal; else null. */
  readonly status: number | null;
}

export interface TestReceiverOptions {
  readonly selfId: string;
  readonly signer: Signer;
  readonly idps: readonly ReceiverIdp[];
  readonly content: ContentHandler;
  /** Name of the session's cookie; default `Edo-Cooperation`. */
  readonly sessLabel?: string;
  /** Whether the cookie is `Secure`; default true. Without TLS it must be false. */
  readonly secureCookie?: boolean;
  /** Sessions and tokens that are kept; default 10,000 of each. */
  readonly entriesMax?: number;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly wallNow?: () => number;
  readonly observe?: (request: ReceivedRequest) => void;
}

/** Protocol errors carry it; it is what tells the proxy that the content handler has not seen the call. */
export const COOPERATION_ERROR_FIELD = "X-Edo-Cooperation-Error";

const SESSION_CHARACTERS = 30;
const AT_TAG_CHARACTERS = 10;
const TOKEN_KEPT_MS = 86_400_000;
const JTI_CHARACTERS = 16;
const ASSERTION_LIFETIME_MS = 300_000;
const ENTRIES_MAX = 10_000;

/**
 * A receiving TA for tests, on loopback: checks and redeems code tokens, grants sessions, and hands what is left to a content
 * handler.
 *
 * @see TA cooperation, section 8
 */
export class TestReceiver {
  readonly #options: TestReceiverOptions;
  readonly #sessLabel: string;
  readonly #wallNow: () => number;
  readonly #idps: ReadonlyMap<string, ReceiverIdp>;
  readonly #keys: PartyKeys;
  readonly #assertions: ClientAssertions;
  readonly #sessions: ExpiringMap<AuthFields>;
  /** By `at_tag`. */
  readonly #tokens: ExpiringMap<NewToken>;
  readonly #refusals = new Refusals();
  #server: LoopbackServer | null = null;

  constructor(options: TestReceiverOptions) {
    const { selfId, signer, entriesMax = ENTRIES_MAX, wallNow = Date.now } = options;
    this.#options = options;
    this.#sessLabel = options.sessLabel ?? "Edo-Cooperation";
    this.#wallNow = wallNow;
    this.#idps = new Map(options.idps.map((idp) => [idp.issuer, idp]));
    this.#keys = new PartyKeys(wallNow);
    this.#sessions = new ExpiringMap(entriesMax, wallNow);
    this.#tokens = new ExpiringMap(entriesMax, wallNow);
    this.#assertions = new ClientAssertions(
      { get: () => [signer.jwk] },
      {
        selfId,
        alg: signer.alg,
        kid: signer.jwk.kid ?? "",
        jtiLength: JTI_CHARACTERS,
        lifetimeMs: ASSERTION_LIFETIME_MS,
        wallNow,
      },
    );
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

  /** `http://127.0.0.1:<port>`. */
  get url(): string {
    if (this.#server === null) throw new Error("the test receiver was not started");
    return this.#server.url;
  }

  /** How many sessions there are. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Forgets a session. */
  dropSession(id: string): void {
    this.#sessions.delete(id);
  }

  /** Forgets all sessions, as a restart would. */
  dropSessions(): void {
    this.#sessions.clear();
  }

  /** Refuses the next request as if its session were unknown, once so many bytes of its body have been read. */
  refuseNextAfter(bodyBytes: number): void {
    this.#refusals.order(bodyBytes);
  }

  /** The access token behind an `at_tag`, for a call of this TA's own to a further one. */
  token(atTag: string): NewToken | undefined {
    return this.#tokens.get(atTag);
  }

  async #serve(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    this.#observe("arrival", request);
    // Whatever is not read any more must not hold the connection up.
    answer.once("finish", () => request.resume());
    try {
      const { sessionId, codeTokens } = takeOut(request, this.#sessLabel);
      if (await this.#refusals.take(request)) throw accessDenied("invalid session");
      const fields =
        sessionId === null
          ? await this.#mediated(codeTokens, answer)
          : this.#sessions.get(sessionId);
      if (fields === undefined) throw accessDenied("invalid session");
      addFields(request, fields);
    } catch (error) {
      this.#refuse(request, answer, error);
      return;
    }
    this.#observe("content", request);
    try {
      await this.#options.content(request, answer);
    } catch {
      if (answer.headersSent) answer.destroy();
      else answerOAuthError(answer, new OAuthError(500, "server_error", "internal error"));
    }
  }

  /** The way of code tokens. Grants a session where one may be. */
  async #mediated(texts: readonly string[], answer: ServerResponse): Promise<AuthFields> {
    if (texts.length === 0) throw accessDenied("no code tokens");
    const { selfId } = this.#options;
    const tokens = await readCodeTokens(texts, { selfId, idps: this.#idps, keys: this.#keys });
    const redeemed = await redeem(tokens, {
      selfId,
      keys: this.#keys,
      wallNow: this.#wallNow,
      assert: (url) => this.#assertions.sign(url),
    });
    const atTag = randomString(AT_TAG_CHARACTERS);
    this.#tokens.set(atTag, redeemed.token, this.#wallNow() + TOKEN_KEPT_MS);
    const fields = authFields(redeemed, atTag, tokens.fromTa);
    this.#grantSession(redeemed, fields, answer);
    return fields;
  }

  /** Section 8.5. */
  #grantSession({ related, token }: Redeemed, fields: AuthFields, answer: ServerResponse): void {
    if (token.expiresAtMs <= this.#wallNow() || !isOnlyIdentity(related)) return;
    const id = randomString(SESSION_CHARACTERS);
    this.#sessions.set(id, fields, token.expiresAtMs);
    const expires = new Date(token.expiresAtMs).toUTCString();
    const secure = this.#options.secureCookie === false ? "" : "; Secure";
    const cookie = `${this.#sessLabel}=${id}; Path=/; Expires=${expires}; HttpOnly${secure}`;
    answer.appendHeader("Set-Cookie", cookie);
  }

  /** Section 8.6. */
  #refuse(
    { method = "", url = "" }: IncomingMessage,
    answer: ServerResponse,
    cause: unknown,
  ): void {
    if (answer.destroyed) return;
    const text = printableAscii(cause instanceof OAuthError ? cause.message : "internal error");
    const { status } = answerOAuthError(answer, cause, { [COOPERATION_ERROR_FIELD]: text });
    const fields = [COOPERATION_ERROR_FIELD, text];
    this.#options.observe?.({ at: "refusal", method, url, fields, status });
  }

  #observe(
    at: "arrival" | "content",
    { method = "", url = "", rawHeaders }: IncomingMessage,
  ): void {
    this.#options.observe?.({ at, method, url, fields: [...rawHeaders], status: null });
  }
}
