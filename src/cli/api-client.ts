import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Agent, Dispatcher } from "undici";
import { parseBaseUrl } from "../core/base-url.ts";
import { ConfigError } from "../core/errors.ts";
import { hawserVersion } from "../core/version.ts";
import { type CliErrorCode, CommandError } from "./errors.ts";
import { printable } from "./print.ts";

/** What an {@link ApiClient} is made from. */
export interface ApiClientOptions {
  /** `https://api.example.org`, with a path in front where a proxy has one. */
  readonly api: string;
  /** API key or device token; null where the call itself carries what it needs. */
  readonly key: string | null;
  /** File of certificates in PEM that the server's is checked against, in place of Node's list. */
  readonly ca?: string | null;
  /** For a whole call, its retries included. */
  readonly timeoutMs?: number;
}

/** Values of a query; what is undefined is left out. */
export type Query = Readonly<Record<string, string | number | undefined>>;

const TIMEOUT_MS = 30_000;
const BODY_BYTES_MAX = 16 << 20;
/** Waits before a read is tried again. */
const RETRY_WAITS_MS = [200, 800, 2_000];

const UNREACHABLE: CliErrorCode = "ERR_CLI_API_UNREACHABLE";
const WRONG_SERVER = "Check the address: it is that of the API server, not of the relay.";
const ODD_ANSWER: CliErrorCode = "ERR_CLI_API_ANSWER";

/** The API server refused: `code` is its own. */
export class ApiRefusal extends CommandError {
  readonly status: number;
  readonly requestId: string;
  /** Seconds of `Retry-After`, 0 for none. */
  readonly retryAfterS: number;

  constructor(status: number, problem: Problem, retryAfterS: number) {
    const { code, detail, requestId } = problem;
    super(code, withRequest(detail, requestId), adviceFor(status, code, retryAfterS));
    this.status = status;
    this.requestId = requestId;
    this.retryAfterS = retryAfterS;
  }
}

interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly requestId: string;
}

/**
 * Calls the API of a Hawser server. Reads are tried again where the server is away or overloaded; what changes
 * something is sent once.
 *
 * Calls reject with {@link ApiRefusal}, or a CommandError `ERR_CLI_API_UNREACHABLE` or `ERR_CLI_API_ANSWER`. No message
 * holds the key.
 */
export class ApiClient {
  /** As it is stored and shown: without a "/" at its end. */
  readonly api: string;
  readonly #origin: string;
  readonly #prefix: string;
  readonly #key: string | null;
  readonly #timeoutMs: number;
  readonly #connect: { readonly timeout: number; readonly ca?: string };
  #dispatcher: Promise<Agent> | null = null;

  /** @throws ConfigError where the address or the file of certificates cannot be used */
  constructor({ api, key, ca = null, timeoutMs = TIMEOUT_MS }: ApiClientOptions) {
    const { origin, prefix } = baseOf(api);
    this.api = origin + prefix;
    this.#origin = origin;
    this.#prefix = prefix;
    this.#key = key;
    this.#timeoutMs = timeoutMs;
    this.#connect = { timeout: 10_000, ...(ca === null ? {} : { ca: certificates(ca) }) };
  }

  get(path: string, query: Query = {}): Promise<unknown> {
    return this.#call("GET", path, query, undefined);
  }

  post(path: string, body?: unknown): Promise<unknown> {
    return this.#call("POST", path, {}, body);
  }

  patch(path: string, body: unknown): Promise<unknown> {
    return this.#call("PATCH", path, {}, body);
  }

  delete(path: string): Promise<unknown> {
    return this.#call("DELETE", path, {}, undefined);
  }

  /** Every item of a listing, page after page, up to `itemsMax`. */
  async list(path: string, member: string, itemsMax: number, query: Query = {}) {
    const items: unknown[] = [];
    let cursor: string | undefined;
    do {
      const page = record(await this.get(path, { ...query, cursor }));
      const part = page[member];
      if (!Array.isArray(part)) throw oddAnswer();
      items.push(...part);
      cursor = typeof page["next"] === "string" ? page["next"] : undefined;
    } while (cursor !== undefined && items.length < itemsMax);
    return items.slice(0, itemsMax).map(record);
  }

  /** Closes the connections. */
  async close(): Promise<void> {
    await (await this.#dispatcher)?.destroy();
  }

  /** Made with the first call: an agent that never calls does without a client of HTTP. */
  #open(): Promise<Agent> {
    this.#dispatcher ??= import("undici").then(
      ({ Agent: Connections }) => new Connections({ connections: 4, connect: this.#connect }),
    );
    return this.#dispatcher;
  }

  async #call(method: Method, path: string, query: Query, body: unknown): Promise<unknown> {
    const signal = AbortSignal.timeout(this.#timeoutMs);
    const waits = method === "GET" ? RETRY_WAITS_MS : [];
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#once(method, path, query, body, signal);
      } catch (error) {
        const waitMs = waits[attempt];
        if (waitMs === undefined || !isPassing(error) || signal.aborted) throw error;
        const asked = error instanceof ApiRefusal ? error.retryAfterS * 1_000 : 0;
        // A server that wants to be left alone for long is not waited for.
        if (asked > 5_000) throw error;
        await delay(Math.max(waitMs, asked));
      }
    }
  }

  async #once(
    method: Method,
    path: string,
    query: Query,
    body: unknown,
    signal: AbortSignal,
  ): Promise<unknown> {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) search.set(name, String(value));
    }
    let status: number;
    let headers: Dispatcher.ResponseData["headers"];
    let text: string;
    try {
      const dispatcher = await this.#open();
      const answer = await dispatcher.request({
        origin: this.#origin,
        path: `${this.#prefix}${path}${search.size === 0 ? "" : `?${search}`}`,
        method,
        signal,
        headers: {
          accept: "application/json",
          "user-agent": `hawser/${hawserVersion()}`,
          ...(this.#key === null ? {} : { authorization: `Bearer ${this.#key}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      ({ statusCode: status, headers } = answer);
      text = await readText(answer.body);
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw unreachable(this.api, error);
    }
    const value = parse(text);
    if (status >= 200 && status < 300) {
      if (text === "") return null;
      if (value === undefined) throw oddAnswer();
      return value;
    }
    throw refusal(status, value, headers["retry-after"]);
  }
}

type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** The one spelling of an API server's address. @throws ConfigError */
export function apiAddress(text: string): string {
  const { origin, prefix } = baseOf(text);
  return origin + prefix;
}

function baseOf(api: string): { origin: string; prefix: string } {
  const parsed = parseBaseUrl(api);
  if (parsed.ok) return parsed;
  const problem = `is no address of an API server such as https://api.example.org (${parsed.fault})`;
  throw new ConfigError([{ setting: "--api", problem }]);
}

function certificates(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError([
      { setting: "--ca", problem: `${path} cannot be read (${codeOf(error)})` },
    ]);
  }
}

async function readText(body: Dispatcher.ResponseData["body"]): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) throw oddAnswer();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusal(status: number, value: unknown, retryAfter: unknown): CommandError {
  const members = typeof value === "object" && value !== null ? { ...value } : {};
  const { code, detail, request_id }: Record<string, unknown> = members;
  if (typeof code !== "string" || typeof detail !== "string") {
    return new CommandError(
      ODD_ANSWER,
      `The answer (${status}) is not one of Hawser's API.`,
      WRONG_SERVER,
    );
  }
  const requestId = typeof request_id === "string" ? printable(request_id) : "";
  const seconds = Number(retryAfter ?? 0);
  const issues = issuesOf(members);
  return new ApiRefusal(
    status,
    { code: printable(code), detail: printable(detail) + issues, requestId },
    Number.isFinite(seconds) ? seconds : 0,
  );
}

/** Which parts of a request the server did not take, in words. */
function issuesOf({ issues }: { issues?: unknown }): string {
  if (!Array.isArray(issues)) return "";
  const told = issues.slice(0, 5).map((issue: unknown) => {
    const { pointer, detail } = record(issue);
    return `${String(pointer).replace(/^\//, "") || "it"} ${String(detail)}`;
  });
  return told.length === 0 ? "" : ` (${printable(told.join("; "))})`;
}

function withRequest(detail: string, requestId: string): string {
  return requestId === "" ? detail : `${detail} [request ${requestId}]`;
}

function adviceFor(status: number, code: string, retryAfterS: number): string {
  if (status === 401)
    return "The key is unknown, expired or revoked: `hawser login` gets a new one.";
  if (code === "insufficient_scope") return "`hawser login --scope …` gets a key that may do this.";
  if (code === "insufficient_role") return "Only an administrator of your tenant may do this.";
  if (code === "pairing_code_invalid") {
    return "A code is good once and for a short time, an enrolment key for its uses: `hawser pair create` makes a code.";
  }
  if (code.startsWith("ERR_RELAY_")) return WRONG_SERVER;
  if (status === 404) return "The listing of the command shows what there is.";
  if (retryAfterS > 0) return `Try again in ${Math.ceil(retryAfterS)} s.`;
  if (status >= 500) return "The server's log has more under that request.";
  return "";
}

/** Whether a call failed for a reason that passes: the server is away, or overloaded. */
export function isPassing(error: unknown): boolean {
  if (error instanceof ApiRefusal) return error.status === 503 || error.status === 429;
  return error instanceof CommandError && error.code === UNREACHABLE;
}

function unreachable(api: string, error: unknown): CommandError {
  const code = codeOf(error);
  const isTrust = /CERT|SELF_SIGNED|UNABLE_TO|TLS/.test(code);
  return new CommandError(
    UNREACHABLE,
    `${api} cannot be reached (${code}).`,
    isTrust
      ? "Its certificate is not trusted: --ca <file> names the certificate of who issued it."
      : "Check the address, and that the API server runs.",
    error,
  );
}

function codeOf(error: unknown): string {
  if (error instanceof Error && "code" in error && typeof error.code === "string")
    return error.code;
  return error instanceof Error && error.name === "TimeoutError"
    ? "no answer in time"
    : "no reason";
}

function oddAnswer(): CommandError {
  return new CommandError(
    ODD_ANSWER,
    "The answer is not one that this version understands.",
    "Check the address, and that command and server are of the same version.",
  );
}

/** An answer as an object. @throws CommandError `ERR_CLI_API_ANSWER` */
export function record(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw oddAnswer();
  return { ...value };
}

/** A member of an answer that is text. @throws CommandError `ERR_CLI_API_ANSWER` */
export function textOf(answer: Readonly<Record<string, unknown>>, member: string): string {
  const value = answer[member];
  if (typeof value !== "string") throw oddAnswer();
  return value;
}
