import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { type ApiErrorCode, apiError } from "./errors.ts";
import { PROBLEM_TYPE, problemOf } from "./problem.ts";
import { securityHeaders } from "./security-headers.ts";

/** What the parser of node:http complains of, where it is not just a malformed request. */
const CODES: Readonly<Record<string, ApiErrorCode>> = {
  HPE_HEADER_OVERFLOW: "head_too_large",
  HPE_CHUNK_EXTENSIONS_OVERFLOW: "body_too_large",
};

/** The code of the answer to bytes that are no request. */
export function codeOfParserError(error: Error): ApiErrorCode {
  const code = "code" in error ? String(error.code) : "";
  if (code.endsWith("_REQUEST_TIMEOUT")) return "request_timeout";
  return CODES[code] ?? "bad_request";
}

/**
 * Answers on a connection that has no response object, with all fields that other answers have, and ends our side of
 * it. Whoever calls cuts the connection when the client does not.
 *
 * @returns the status
 */
export function answerRaw(
  socket: Duplex,
  code: ApiErrorCode,
  requestId: string,
  isHttps: boolean,
): number {
  const { status, body } = problemOf(apiError(code), requestId);
  const fields = {
    ...securityHeaders("api", isHttps),
    "x-request-id": requestId,
    vary: "Cookie, Authorization",
    "content-type": PROBLEM_TYPE,
    "content-length": String(Buffer.byteLength(body)),
    connection: "close",
    date: new Date().toUTCString(),
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join("")}\r\n${body}`);
  return status;
}
