import type { Logger } from "pino";
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

/**
 * One line a request, when its response is over. It has no query, no field of the request but its method, and names
 * the caller by its public reference.
 */
export function logRequest(log: Logger, exchange: Exchange, nowMs: number): void {
  const { response, route, principal } = exchange;
  const isOver = response.writableFinished;
  log.info(
    {
      request_id: exchange.requestId,
      client: exchange.address,
      method: exchange.method,
      path: loggablePath(exchange.path),
      route: route?.path ?? "",
      class: route?.class ?? "",
      principal: principal?.ref ?? "",
      status: response.headersSent ? response.statusCode : 499,
      ...(exchange.code === "" ? {} : { code: exchange.code }),
      ...(isOver ? {} : { cut: true }),
      // On the wire, head included.
      bytes_out: Math.max(0, exchange.bytesWritten - exchange.bytesWrittenBefore),
      total_us: Math.round((nowMs - exchange.startedAt) * 1_000),
    },
    "request",
  );
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
