import { type DestinationStream, type Logger, pino } from "pino";
import { preparedBindings } from "../core/log-bindings.ts";
import type { Exchange } from "./exchange.ts";

const PATH_CHARACTERS_MAX = 256;
const MESSAGE_CHARACTERS_MAX = 500;
/** A token of ours, or what began as one: its public part may be logged, the rest not. */
const TOKENS = /(vAc|hwk|hwe)_([0-9A-Za-z]{8})\w*|(hwp)_\w*/g;

/** A path as it may stand in a log: without a tail that belongs to a device, without secrets, short. */
export function loggablePath(path: string): string {
  return withoutTokens(path).slice(0, PATH_CHARACTERS_MAX);
}

/** A text with the secret parts of all tokens of ours cut off. */
export function withoutTokens(text: string): string {
  // Each of them has one.
  if (!text.includes("_")) return text;
  return text.replace(TOKENS, (_all, prefix, id, code) =>
    code === undefined ? `${prefix}_${id}` : `${code}_`,
  );
}

/**
 * The line of a fault of ours. Kind, code, message and places alone: causes and further members of an error may hold
 * what somebody sent.
 */
export function logFailure(log: Logger, requestId: string, error: unknown): void {
  const isError = error instanceof Error;
  const places = isError
    ? (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line))
    : [];
  const fault = {
    type: isError ? error.name : typeof error,
    code: isError && "code" in error ? String(error.code) : "",
    message: isError ? withoutTokens(error.message).slice(0, MESSAGE_CHARACTERS_MAX) : "",
    places: places.map((line) => line.trim()),
  };
  log.error({ request_id: requestId, fault }, "request failed");
}

/** What a pino logger has prepared of its lines. */
interface LineParts {
  readonly destination: DestinationStream;
  /** `{"level":30` */
  readonly level: string;
  /** `,"time":1700000000000` */
  readonly time: () => string;
  /** `,"pid":1,"hostname":"h"` */
  readonly bindings: string;
}

const INFO = 30;
/** Texts that stand in a line as they are. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/**
 * One line a request, when its response is over, in pino's shape. It has no query, no field of the request but its method,
 * and names the caller by its public reference.
 */
export class RequestLog {
  readonly #logger: Logger;
  readonly #parts: LineParts;

  constructor(logger: Logger) {
    const internals = logger as unknown as Record<symbol, unknown>;
    const { streamSym, lsCacheSym, timeSym } = pino.symbols as Record<string, symbol>;
    const of = (name: symbol | undefined): unknown => (name === undefined ? null : internals[name]);
    this.#logger = logger;
    this.#parts = {
      destination: of(streamSym) as DestinationStream,
      level: (of(lsCacheSym) as Record<number, string>)[INFO] ?? "",
      time: of(timeSym) as () => string,
      bindings: preparedBindings(logger),
    };
  }

  /** @param nowMs of the pipeline's clock */
  write(exchange: Exchange, nowMs: number): void {
    if (this.#logger.levelVal > INFO) return;
    const { destination, level, time, bindings } = this.#parts;
    const { response, route, principal } = exchange;
    const status = response.headersSent ? response.statusCode : 499;
    const code = exchange.code === "" ? "" : `,"code":"${exchange.code}"`;
    const cut = response.writableFinished ? "" : ',"cut":true';
    // On the wire, head included.
    const bytesOut = Math.max(0, exchange.bytesWritten - exchange.bytesWrittenBefore);
    const totalUs = Math.round((nowMs - exchange.startedAt) * 1_000);
    const path = quoted(loggablePath(exchange.path));
    const by = quoted(principal?.ref ?? "");
    // Ids, addresses and methods that got this far are plain.
    const { requestId, address, method } = exchange;
    destination.write(
      `${level}${time()}${bindings},"request_id":"${requestId}","client":"${address}","method":"${method}","path":${path},"route":"${route?.path ?? ""}","class":"${route?.class ?? ""}","principal":${by},"status":${status}${code}${cut},"bytes_out":${bytesOut},"total_us":${totalUs},"msg":"request"}\n`,
    );
  }
}

function quoted(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** The line of an answer to bytes that never became a request. */
export function logRefusal(
  log: Logger,
  requestId: string,
  client: string,
  status: number,
  code: string,
): void {
  const fields = { request_id: requestId, client, method: "", path: "", route: "", class: "" };
  log.info({ ...fields, principal: "", status, code }, "request");
}
