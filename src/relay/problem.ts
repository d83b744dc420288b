import type { HttpResponse } from "uWebSockets.js";
import type { HttpError } from "../core/errors.ts";
import { endAnswer } from "./end-answer.ts";

/** Reason phrases of the statuses that the relay itself answers with. */
const REASONS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  413: "Content Too Large",
  414: "URI Too Long",
  417: "Expectation Failed",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** The reason phrase of a status that the relay answers with. */
export function reasonOf(status: number): string {
  return REASONS[status] ?? "Error";
}

/**
 * The body of an RFC 9457 answer: `type`, `title`, `status`, `detail`, and our own `code`, `stage`, `retriable`,
 * `request_id`.
 *
 * @see RFC 9457, section 3
 */
export function problemBody(error: HttpError, requestId: string): string {
  return JSON.stringify({
    type: "about:blank",
    title: reasonOf(error.status),
    status: error.status,
    detail: error.message,
    code: error.code,
    stage: error.stage,
    retriable: error.retriable,
    request_id: requestId,
  });
}

/** What may be echoed as a request id: visible ASCII, short. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;

/**
 * Answers with a problem and ends `res`. To be called in the route handler, or under `res.cork`; never after
 * `onAborted`.
 *
 * A body of the request that is still on its way is left to uWS, which reads and drops it.
 *
 * @param requestId echoed as `x-request-id`; anything but short visible ASCII is left out of the head
 * @param isHead the request's method is HEAD: only the length of the body is told
 * @param allow value of `Allow`, for 405
 * @param close end the connection after the answer
 */
export function answerProblem(
  res: HttpResponse,
  error: HttpError,
  requestId: string,
  isHead = false,
  allow = "",
  close = false,
): void {
  // One writeStatus with the whole head: every part of it is ours, or checked, and free of CR, LF and NUL.
  let head = `${error.status} ${reasonOf(error.status)}\r\ncontent-type: application/problem+json\r\ncache-control: no-store`;
  const id = REQUEST_ID.test(requestId) ? requestId : "";
  if (id !== "") head += `\r\nx-request-id: ${id}`;
  if (error.retryAfter > 0) head += `\r\nretry-after: ${Math.ceil(error.retryAfter)}`;
  if (error.status === 401) head += '\r\nwww-authenticate: Bearer realm="hawser"';
  if (error.status === 426) head += "\r\nupgrade: websocket";
  if (allow !== "") head += `\r\nallow: ${allow}`;
  const body = problemBody(error, id);
  res.writeStatus(head);
  // Whoever comes again to a relay that stops shall come to another one.
  endAnswer(res, body, isHead, close || error.code === "ERR_RELAY_DRAINING");
}

/**
 * Answers a request whose end is not known for sure, and ends the connection. To be called in the route handler.
 *
 * The answer waits for the end of the turn: uWS goes on with what it read together with the head, and a next request
 * that it finds there ends the connection at once while this one has no answer.
 *
 * @see RFC 9112, section 6.3
 */
export function answerUnframed(
  res: HttpResponse,
  error: HttpError,
  requestId: string,
  isHead: boolean,
): void {
  let aborted = false;
  res.onAborted(() => {
    aborted = true;
  });
  setImmediate(() => {
    if (!aborted) res.cork(() => answerProblem(res, error, requestId, isHead, "", true));
  });
}
