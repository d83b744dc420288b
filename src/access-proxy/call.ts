import type { ClientRequest, IncomingMessage, ServerResponse } from "node:http";
import type { LookupFunction } from "node:net";
import type { Logger } from "pino";
import type { Addressing, Addressings } from "./addressing.ts";
import { bareError } from "./bare-error.ts";
import { pumpBody, relayBody, writeAll } from "./body-pump.ts";
import { BodyRecord } from "./body-record.ts";
import { readGrantedSession } from "./cookies.ts";
import { type Destination, findDestination } from "./destinations.ts";
import { AccessProxyError } from "./errors.ts";
import { type Framing, forwardFields, relayFields } from "./forward-fields.ts";
import { HeldBody } from "./held-body.ts";
import type { Mediator } from "./mediation.ts";
import type { AccessProxyOptions } from "./options.ts";
import type { ProxySession, SessionStore } from "./ports.ts";
import type { Target } from "./target.ts";
import type { TargetClient, TargetRequest } from "./target-client.ts";

/** What all calls share. */
export interface CallContext {
  readonly options: AccessProxyOptions;
  readonly mediator: Mediator;
  readonly targets: TargetClient;
  readonly sessions: SessionStore;
  readonly addressings: Addressings;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

export const CALL_PATHS = ["session", "mediated", "retried", "none"] as const;
/** How a call reached its target. */
export type CallPath = (typeof CALL_PATHS)[number];

const ERROR_FIELD = "x-edo-cooperation-error";
/** A dropped answer is read to its end, so that its connection serves on, if it is no longer than this. */
const DRAINED_BYTES_MAX = 65_536;

/** Whether a request has a body, and how the one to the target says so. RFC 9112, section 6. */
function bodyOf({ headers, method = "" }: IncomingMessage): Body {
  const length = headers["content-length"];
  if (headers["transfer-encoding"] !== undefined) return { has: true, framing: "chunked" };
  if (length !== undefined) return { has: length !== "0", framing: "kept" };
  return { has: false, framing: WITHOUT_BODY.has(method) ? "kept" : "empty" };
}

interface Body {
  readonly has: boolean;
  readonly framing: Framing;
}

/** Methods whose requests need not say that they have no body. RFC 9110, section 8.6. */
const WITHOUT_BODY: ReadonlySet<string> = new Set(["GET", "HEAD", "DELETE", "OPTIONS"]);

/** How long the rest of such an answer may take. */
const DRAIN_MS = 1_000;

function drop(message: IncomingMessage): void {
  const length = Number(message.headers["content-length"] ?? Number.NaN);
  if (!(length <= DRAINED_BYTES_MAX)) {
    message.destroy();
    return;
  }
  const limit = setTimeout(() => message.destroy(), DRAIN_MS).unref();
  message.once("close", () => clearTimeout(limit));
  message.resume();
}

/**
 * One call of a backend, from its fields to the relayed answer.
 *
 * @see TA cooperation, section 4
 */
export class Call {
  readonly #context: CallContext;
  readonly #request: IncomingMessage;
  readonly #answer: ServerResponse;
  /** Ends the requests to ID providers; made when there are any. */
  #abort: AbortController | null = null;
  /** The request to the target that runs. */
  #out: ClientRequest | null = null;
  #isAborted = false;
  readonly #addressing: Addressing;
  readonly #destination: Destination;
  readonly #callerScope: string;
  readonly #credentialField: string | null;
  readonly #body: Body;
  #record: BodyRecord | null = null;
  /** How the target was reached so far. */
  path: CallPath = "none";
  /** The session that carried the call last, or that the target granted since: a secret. Null for none. */
  sessionId: string | null = null;

  /** @throws AccessProxyError rows E1 to E11, in the order of section 4.9 */
  constructor(
    context: CallContext,
    request: IncomingMessage,
    answer: ServerResponse,
    caller: { readonly scope: string; readonly credentialField: string | null },
  ) {
    this.#context = context;
    this.#request = request;
    this.#answer = answer;
    this.#callerScope = caller.scope;
    this.#credentialField = caller.credentialField;
    this.#addressing = context.addressings.read(request.rawHeaders);
    const { options } = context;
    const { target } = this.#addressing;
    if (target.toTaId === options.selfId) throw new AccessProxyError("ERR_ACCESS_PROXY_SELF");
    this.#destination = findDestination(options.destinationPolicy, target);
    this.#body = bodyOf(request);
  }

  get target(): Target {
    return this.#addressing.target;
  }

  /** The caller has left: ends what runs. */
  abort(): void {
    this.#isAborted = true;
    this.#abort?.abort();
    this.#out?.destroy();
  }

  /**
   * Forwards the request and relays the answer's head; the body goes on by itself.
   *
   * @throws AccessProxyError rows E3 and E12 to E29; whatever `abort` gave
   */
  async run(): Promise<void> {
    try {
      const key = this.#sessionKey();
      const session = key === null ? null : await this.#usableSession(key);
      if (key !== null && session !== null) {
        if (await this.#runWithSession(key, session)) return;
        this.path = "retried";
      } else this.path = "mediated";
      await this.#runMediated(key);
    } finally {
      // One that is to be sent again is with who sends it.
      void this.#record?.close();
    }
  }

  /** Where a session of this call is kept; null where sessions do not serve it. Section 9.2. */
  #sessionKey(): string | null {
    const { selfId, sessionForRelatedUsers } = this.#context.options;
    const { accounts } = this.#addressing;
    if (accounts.related.length > 0 && !sessionForRelatedUsers) return null;
    return this.#addressing.sessionKey(selfId, this.#callerScope);
  }

  async #usableSession(key: string): Promise<ProxySession | null> {
    const { sessions, wallNow, options } = this.#context;
    const found = sessions.get(key);
    const session = found instanceof Promise ? await found : found;
    if (session === undefined) return null;
    return wallNow() + options.sessMarginMs < session.expiresAt ? session : null;
  }

  /** Returns false where the target refused the session: it is forgotten, and the body is ready to be sent again. */
  async #runWithSession(key: string, session: ProxySession): Promise<boolean> {
    this.path = "session";
    this.sessionId = session.id;
    const { fileThres, fileMax, tempFolder } = this.#context.options;
    if (this.#body.has) this.#record = new BodyRecord({ fileThres, fileMax, folder: tempFolder });
    const record = this.#record;
    const { out, response } = this.#send(session.id, [], null);
    const pump = this.#body.has
      ? pumpBody(this.#request, out, record === null ? null : (piece) => record.add(piece))
      : null;
    if (pump === null) new HeldBody(out, null).end();
    const message = await response;
    if ((message.headers[ERROR_FIELD] ?? "") === "") {
      await this.#keepSession(key, message);
      this.#relay(message);
      return true;
    }
    pump?.stop();
    drop(message);
    if (!out.writableEnded) out.destroy();
    await this.#stored("delete", () => this.#context.sessions.deleteIf(key, session.id));
    this.sessionId = null;
    // A file that refuses its part late must not pass for a body that ends early.
    await record?.settled();
    if (record !== null && !record.isComplete) {
      throw new AccessProxyError("ERR_ACCESS_PROXY_NO_REPLAY", [], { cause: record.fault });
    }
    return false;
  }

  async #runMediated(key: string | null): Promise<void> {
    const { mediator, targets } = this.#context;
    const resolved = await targets.resolve(this.#addressing.target.url, this.#destination);
    this.#abort = new AbortController();
    if (this.#isAborted) this.#abort.abort();
    const codeTokens = await mediator.mediate({
      accounts: this.#addressing.accounts,
      toTaId: this.#addressing.target.toTaId,
      callerScope: this.#callerScope,
      signal: this.#abort.signal,
    });
    const { out, response } = this.#send(null, codeTokens, resolved);
    if (this.#body.has) {
      void this.#sendBody(out, this.#record);
      this.#record = null;
    } else out.end();
    const message = await response;
    await this.#keepSession(key, message);
    this.#relay(message);
  }

  /** What was recorded of the body, if anything, and then what is left of it. */
  async #sendBody(out: ClientRequest, record: BodyRecord | null): Promise<void> {
    try {
      if (record !== null) await writeAll(record.read(), out);
      if (!out.destroyed) pumpBody(this.#request, out, null);
    } catch (error) {
      out.destroy(error as Error);
    } finally {
      void record?.close();
    }
  }

  #send(
    sessionId: string | null,
    codeTokens: readonly string[],
    resolved: LookupFunction | null,
  ): TargetRequest {
    const { targets, options } = this.#context;
    const { method = "GET", rawHeaders, headers } = this.#request;
    const { url } = this.#addressing.target;
    const fields = forwardFields({
      fields: rawHeaders,
      connection: headers.connection,
      host: url.host,
      sessLabel: options.sessLabel,
      credentialField: this.#credentialField,
      sessionId,
      codeTokens,
      framing: this.#body.framing,
    });
    const sent = targets.send(method, url, fields, this.#destination, resolved);
    this.#out = sent.out;
    if (this.#isAborted) sent.out.destroy();
    return sent;
  }

  /** Keeps or forgets the session that an answer grants or ends. Section 9.3. */
  async #keepSession(key: string | null, message: IncomingMessage): Promise<void> {
    const cookies = message.headers["set-cookie"];
    if (key === null || cookies === undefined) return;
    if ((message.headers[ERROR_FIELD] ?? "") !== "") return;
    const { options, sessions, wallNow } = this.#context;
    for (const cookie of cookies) {
      const now = wallNow();
      const granted = readGrantedSession(cookie, options.sessLabel, now);
      if (granted === null) continue;
      if (granted.expiresAt <= now) await this.#stored("delete", () => sessions.delete(key));
      else {
        this.sessionId = granted.id;
        const keepUntil = Math.min(granted.expiresAt, now + options.sessDbExpInMs);
        await this.#stored("save", () => sessions.save(key, granted, keepUntil));
      }
    }
  }

  /** A store that fails costs a later call its session, not this one its answer. */
  async #stored(what: "save" | "delete", act: () => void | Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#context.logger.error({ err: bareError(error), what }, "session store failed");
    }
  }

  /** @throws AccessProxyError row E23 where the target has broken off while a session was kept: nobody would tell of it again */
  #relay(message: IncomingMessage): void {
    if (message.destroyed) throw new AccessProxyError("ERR_ACCESS_PROXY_BAD_ANSWER");
    const answer = this.#answer;
    const { stripSessionCookie, sessLabel } = this.#context.options;
    const fields = relayFields(
      message.rawHeaders,
      message.headers.connection,
      stripSessionCookie ? sessLabel : null,
    );
    message.on("close", () => {
      // Broken off midway: there is no honest end any more.
      if (!message.complete) answer.destroy();
    });
    message.on("error", () => answer.destroy());
    answer.writeHead(message.statusCode ?? 502, message.statusMessage ?? "", fields);
    relayBody(message, answer);
  }
}
