import { type Logger, pino } from "pino";
import { type Dispatcher, Pool } from "undici";
import { parseBaseUrl } from "../core/base-url.ts";
import {
  type ChangesTaken,
  type CredentialChanges,
  SESSION_DEVICES_MAX,
  SESSION_PAGE_MAX,
  type SessionDetail,
  type SessionPage,
  type SessionSummary,
} from "../core/contract.ts";
import { BodyTooLarge, readBody, readBodyStart } from "./relay-client-body.ts";
import { RelayCallError } from "./relay-client-errors.ts";
import { RelayConnections } from "./relay-http/index.ts";

/** The part of a logger that the client uses. It is told of calls, never of secrets or bodies. */
export type RelayClientLogger = Pick<Logger, "debug">;

/** What a {@link RelayClient} is made from. */
export interface RelayClientOptions {
  /** `http://127.0.0.1:3801`, with a path in front where a proxy has one; all "/" at its end are cut. */
  readonly baseUrl: string;
  /** The shared secret of the internal API. */
  readonly secret: string;
  /** Default: a logger of its own, at level `info`, which hides the calls. */
  readonly logger?: RelayClientLogger;
  /** For a whole metadata call, its body included; default 30,000. Forwards have no limit here. */
  readonly timeoutMs?: number;
  /** Connections at a time; more calls wait for one. Default 16. */
  readonly connectionsMax?: number;
}

/** What every call takes. */
export interface CallOptions {
  /** Ends the call; it rejects with `ERR_RELAY_CLIENT_ABORTED`. */
  readonly signal?: AbortSignal;
}

/** Which sessions to list. */
export interface SessionListQuery extends CallOptions {
  /** Only the sessions of this user. */
  readonly userId?: string;
  /** With either of these one page is asked for; without, all pages are walked. */
  readonly limit?: number;
  readonly cursor?: string;
}

const TIMEOUT_MS = 30_000;
const CONNECTIONS_MAX = 16;
const CONNECT_TIMEOUT_MS = 5_000;
/** A page of 10,000 sessions has some 2.5 MB; this leaves room for long user ids. */
const BODY_BYTES_MAX = 16 << 20;
/** Bytes of an unexpected answer that its error carries. */
const ERROR_BODY_BYTES_MAX = 1_024;
/** No relay has as many pages: 10 million sessions. */
const PAGES_MAX = 1_000;

/**
 * The API server's client of the relay's internal API: who is connected, close a session, tell of changes. One pool of
 * kept-alive connections serves its calls. Whoever forwards requests has others, {@link RelayClient.forwards}: a thousand slow
 * downloads must not keep a revocation waiting.
 *
 * All calls reject with {@link RelayCallError}: match on its `code`.
 *
 * @see docs/internal-api.md
 */
export class RelayClient {
  /** For forwards: they go to {@link RelayClient.prefix} with {@link RelayClient.authorization}. */
  readonly forwards: RelayConnections;
  readonly #origin: string;
  readonly #prefix: string;
  readonly #authorization: string;
  readonly #pool: Pool;
  readonly #logger: RelayClientLogger;
  readonly #timeoutMs: number;

  /** @throws RelayCallError `ERR_RELAY_CLIENT_BASE_URL` */
  constructor(options: RelayClientOptions) {
    const parsed = parseBaseUrl(options.baseUrl);
    if (!parsed.ok) {
      // The URL itself may hold a password, so it is not shown.
      const detail = `(${parsed.fault})`;
      throw new RelayCallError("ERR_RELAY_CLIENT_BASE_URL", "", { detail });
    }
    this.#origin = parsed.origin;
    this.#prefix = parsed.prefix;
    this.forwards = new RelayConnections(parsed.origin);
    this.#authorization = `Bearer ${options.secret}`;
    this.#logger = options.logger ?? pino({ name: "relay-client" });
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#pool = new Pool(parsed.origin, {
      // The whole call has a limit of its own.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: CONNECT_TIMEOUT_MS },
      connections: options.connectionsMax ?? CONNECTIONS_MAX,
    });
  }

  /** What stands before `/internal/…` in paths, without a "/" at its end; mostly "". */
  get prefix(): string {
    return this.#prefix;
  }

  /** Value of `Authorization` for forwards. Holds the secret: for that field alone. */
  get authorization(): string {
    return this.#authorization;
  }

  /**
   * The session of a token.
   *
   * @param tokenRef public reference, `vAc_<id>`
   * @throws RelayCallError `ERR_RELAY_CLIENT_SESSION_NOT_FOUND` where there is none or it drains (K17)
   */
  async get(tokenRef: string, options: CallOptions = {}): Promise<SessionDetail> {
    const path = sessionPath(tokenRef);
    return await this.#call("GET", path, options.signal, async (answer, call) => {
      const detail = await jsonOf(answer, call, 404);
      if (!isSummary(detail) || typeof (detail as SessionDetail).connected !== "boolean") {
        throw new RelayCallError("ERR_RELAY_CLIENT_ANSWER", call, { status: answer.statusCode });
      }
      if (!(detail as SessionDetail).connected) throw notFound(call, answer.statusCode);
      return detail as SessionDetail;
    });
  }

  /**
   * The live sessions: all of them, or one page where `limit` or `cursor` is given. A walk over pages has the time of
   * one call.
   */
  async list(query: SessionListQuery = {}): Promise<SessionPage> {
    const { userId, limit, cursor, signal } = query;
    const limited = this.#limit(signal);
    if (limit !== undefined || cursor !== undefined) {
      return await this.#page(userId, limit, cursor, signal, limited);
    }
    const sessions: SessionSummary[] = [];
    let next: string | undefined;
    for (let pages = 0; pages < PAGES_MAX; pages++) {
      const page = await this.#page(userId, SESSION_PAGE_MAX, next, signal, limited);
      for (const session of page.sessions) sessions.push(session);
      if (page.next === undefined) return { sessions, total: page.total };
      next = page.next;
    }
    const detail = "Its pages have no end.";
    throw new RelayCallError("ERR_RELAY_CLIENT_ANSWER", `GET ${SESSIONS}`, { detail });
  }

  /** The live sessions of these devices, in no order. A call for each 200 of them; all together have the time of one. */
  async listOfDevices(
    ids: readonly string[],
    options: CallOptions = {},
  ): Promise<SessionSummary[]> {
    const { signal } = options;
    const limited = this.#limit(signal);
    const read = async (answer: Dispatcher.ResponseData, call: string) =>
      pageOf(await jsonOf(answer, call), call, answer.statusCode);
    const calls: Promise<SessionPage>[] = [];
    for (let from = 0; from < ids.length; from += SESSION_DEVICES_MAX) {
      const some = ids.slice(from, from + SESSION_DEVICES_MAX);
      const query = `?devices=${some.map(encodeURIComponent).join(",")}`;
      calls.push(this.#call("GET", SESSIONS, signal, read, { query, limited }));
    }
    return (await Promise.all(calls)).flatMap(({ sessions }) => sessions);
  }

  /**
   * Closes the session of a token, requests in flight included.
   *
   * @param options with `drainS` running requests may finish for so many seconds, at most 300
   * @throws RelayCallError `ERR_RELAY_CLIENT_SESSION_NOT_FOUND` where there is none
   */
  async close(tokenRef: string, options: CallOptions & { drainS?: number } = {}): Promise<void> {
    const { drainS, signal } = options;
    const query = drainS === undefined ? "" : `?drain=${drainS}`;
    await this.#call("POST", `${sessionPath(tokenRef)}/close`, signal, checkEmpty, { query });
  }

  /** Tells the relay what is good no longer or has changed; live tunnels of revoked tokens are closed. */
  async announce(changes: CredentialChanges, options: CallOptions = {}): Promise<ChangesTaken> {
    const body = JSON.stringify(changes);
    return await this.#call(
      "POST",
      "/internal/changes",
      options.signal,
      async (answer, call) => {
        const taken = await jsonOf(answer, call);
        const closed = isObject(taken) ? taken["closed"] : undefined;
        if (typeof closed === "number") return { closed };
        throw new RelayCallError("ERR_RELAY_CLIENT_ANSWER", call, { status: answer.statusCode });
      },
      { body },
    );
  }

  /** Waits for running calls and forwards, then closes the connections. Later calls are refused. */
  async end(): Promise<void> {
    await Promise.all([this.#pool.close(), this.forwards.end()]);
  }

  /** Cuts everything now. */
  async destroy(): Promise<void> {
    this.forwards.destroy();
    await this.#pool.destroy();
  }

  async #page(
    userId: string | undefined,
    limit: number | undefined,
    cursor: string | undefined,
    signal: AbortSignal | undefined,
    limited: AbortSignal,
  ): Promise<SessionPage> {
    const query = new URLSearchParams();
    if (limit !== undefined) query.set("limit", String(limit));
    if (cursor !== undefined) query.set("cursor", cursor);
    if (userId !== undefined) query.set("user_id", userId);
    const text = query.size === 0 ? "" : `?${query}`;
    const read = async (answer: Dispatcher.ResponseData, call: string) =>
      pageOf(await jsonOf(answer, call), call, answer.statusCode);
    return await this.#call("GET", SESSIONS, signal, read, { query: text, limited });
  }

  #limit(signal: AbortSignal | undefined): AbortSignal {
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    return signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  }

  /** One call; `read` gets the answer and must read or end its body. */
  async #call<T>(
    method: "GET" | "POST",
    path: string,
    signal: AbortSignal | undefined,
    read: (answer: Dispatcher.ResponseData, call: string) => Promise<T>,
    extras: { query?: string; body?: string; limited?: AbortSignal } = {},
  ): Promise<T> {
    const { query = "", body, limited = this.#limit(signal) } = extras;
    const call = `${method} ${path}`;
    try {
      // An aborted signal ends a call before it costs a connection.
      limited.throwIfAborted();
      const answer = await this.#pool.request({
        origin: this.#origin,
        path: this.#prefix + path + query,
        method,
        headers: {
          authorization: this.#authorization,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body }),
        signal: limited,
      });
      this.#logger.debug({ call, status: answer.statusCode }, "relay call");
      return await read(answer, call);
    } catch (error) {
      if (error instanceof RelayCallError) throw error;
      if (signal?.aborted) {
        throw new RelayCallError("ERR_RELAY_CLIENT_ABORTED", call, { cause: signal.reason });
      }
      const code = limited.aborted ? "ERR_RELAY_CLIENT_TIMEOUT" : "ERR_RELAY_CLIENT_TRANSPORT";
      throw new RelayCallError(code, call, { cause: error });
    }
  }
}

const SESSIONS = "/internal/sessions";

function sessionPath(tokenRef: string): string {
  if (tokenRef === "") throw new RelayCallError("ERR_RELAY_CLIENT_NO_TOKEN", "");
  return `/internal/session/${encodeURIComponent(tokenRef)}`;
}

function notFound(call: string, status: number): RelayCallError {
  return new RelayCallError("ERR_RELAY_CLIENT_SESSION_NOT_FOUND", call, { status });
}

/** Throws unless the status is 200; what is left of the body is read, so that the connection serves again. */
async function checkStatus(
  answer: Dispatcher.ResponseData,
  call: string,
  notFoundStatus: number,
): Promise<void> {
  const { statusCode: status } = answer;
  if (status === 200) return;
  const body = await readBodyStart(answer.body, ERROR_BODY_BYTES_MAX);
  if (status === notFoundStatus) throw notFound(call, status);
  throw new RelayCallError("ERR_RELAY_CLIENT_STATUS", call, { status, body });
}

/** The JSON of a 200. */
async function jsonOf(
  answer: Dispatcher.ResponseData,
  call: string,
  notFoundStatus = 0,
): Promise<unknown> {
  await checkStatus(answer, call, notFoundStatus);
  const { statusCode: status } = answer;
  let text: string;
  try {
    text = await readBody(answer.body, BODY_BYTES_MAX);
  } catch (error) {
    if (!(error instanceof BodyTooLarge)) throw error;
    throw new RelayCallError("ERR_RELAY_CLIENT_ANSWER", call, { status, cause: error });
  }
  try {
    return JSON.parse(text);
  } catch {
    // The engine's own error quotes the body, which may be anybody's.
    const cause = new SyntaxError("the body is not JSON");
    throw new RelayCallError("ERR_RELAY_CLIENT_ANSWER", call, { status, cause });
  }
}

/** The answer of a close: its status says it all. */
async function checkEmpty(answer: Dispatcher.ResponseData, call: string): Promise<void> {
  await checkStatus(answer, call, 404);
  await readBodyStart(answer.body, 0);
}

/** One page; `sessions` that are missing or null are an empty list (K17). */
function pageOf(value: unknown, call: string, status: number): SessionPage {
  const page = isObject(value) ? value : {};
  const { sessions = null, total, next } = page;
  const rows: readonly unknown[] | null =
    sessions === null ? [] : Array.isArray(sessions) ? sessions : null;
  const isNext = next === undefined || next === null || typeof next === "string";
  if (!isObject(value) || rows === null || !rows.every(isSummary) || !isNext) {
    throw new RelayCallError("ERR_RELAY_CLIENT_ANSWER", call, { status });
  }
  return {
    sessions: rows,
    total: typeof total === "number" ? total : rows.length,
    ...(typeof next === "string" ? { next } : {}),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSummary(value: unknown): value is SessionSummary {
  return (
    isObject(value) &&
    typeof value["token"] === "string" &&
    typeof value["user_id"] === "string" &&
    typeof value["device_id"] === "string" &&
    typeof value["connected_at"] === "string" &&
    typeof value["last_heartbeat"] === "string" &&
    typeof value["remote_addr"] === "string"
  );
}
