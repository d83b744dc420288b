import { HttpError, type Stage } from "../core/errors.ts";

/** One row of the table: what a client of the relay is told, and whether trying again can help. */
export interface RelayErrorRow {
  readonly status: number;
  /** Where the request failed; `request` is the caller's own doing. */
  readonly stage: Stage;
  /** True where the same request may succeed later, unchanged. */
  readonly retriable: boolean;
  /** Safe to send: names the rule, never a token, a cause or bytes that somebody sent. */
  readonly text: string;
}

/**
 * Every error that a client of the relay can meet, at the edge, at `/tunnel/connect` and at the internal API.
 * Codes are stable; `docs/errors.md` lists the same ones.
 *
 * Two rows are never sent, because the answer has begun or nobody is left to read it; they name the outcome in the
 * access line: `ERR_RELAY_MID_STREAM` and `ERR_RELAY_CLIENT_GONE`.
 */
export const RELAY_ERRORS = {
  ERR_RELAY_NO_DEVICE: {
    status: 404,
    stage: "no_device",
    retriable: false,
    text: "There is no such device.",
  },
  ERR_RELAY_OFFLINE: {
    status: 503,
    stage: "offline",
    retriable: true,
    text: "The device is not connected.",
  },
  ERR_RELAY_LIMITED: {
    status: 429,
    stage: "limited",
    retriable: true,
    text: "The limit of requests is reached.",
  },
  ERR_RELAY_OVERLOADED: {
    status: 503,
    stage: "overloaded",
    retriable: true,
    text: "The relay or the device is at its limit.",
  },
  ERR_RELAY_DRAINING: {
    status: 503,
    stage: "overloaded",
    retriable: true,
    text: "The relay is stopping; another one answers soon.",
  },
  ERR_RELAY_GATE_UNAVAILABLE: {
    status: 503,
    stage: "overloaded",
    retriable: true,
    text: "Credentials cannot be checked now.",
  },
  ERR_RELAY_OPEN_REFUSED: {
    status: 502,
    stage: "open",
    retriable: true,
    text: "The device refused the stream.",
  },
  ERR_RELAY_RESPONSE_INVALID: {
    status: 502,
    stage: "open",
    retriable: false,
    text: "The device's response breaks the rules of HTTP/1.1.",
  },
  ERR_RELAY_DEVICE_LOST: {
    status: 502,
    stage: "open",
    retriable: true,
    text: "The device broke off before its response began.",
  },
  ERR_RELAY_FIRST_BYTE_TIMEOUT: {
    status: 504,
    stage: "first_byte",
    retriable: true,
    text: "The device sent no response head in time.",
  },
  ERR_RELAY_MID_STREAM: {
    status: 502,
    stage: "mid_stream",
    retriable: false,
    text: "The device broke off within its response.",
  },
  ERR_RELAY_CLIENT_GONE: {
    status: 499,
    stage: "request",
    retriable: false,
    text: "The client went away before the response was complete.",
  },
  ERR_RELAY_UNAUTHORIZED: {
    status: 401,
    stage: "request",
    retriable: false,
    text: "Valid credentials are needed.",
  },
  ERR_RELAY_FORBIDDEN: {
    status: 403,
    stage: "request",
    retriable: false,
    text: "These credentials do not allow that.",
  },
  ERR_RELAY_ORIGIN: {
    status: 403,
    stage: "request",
    retriable: false,
    text: "Tunnels are not for browsers: an Origin field is refused.",
  },
  ERR_RELAY_SELECTORS_DISAGREE: {
    status: 400,
    stage: "request",
    retriable: false,
    text: "The request names more than one device.",
  },
  ERR_RELAY_BAD_QUERY: {
    status: 400,
    stage: "request",
    retriable: false,
    text: "A parameter of the query is malformed or out of range.",
  },
  ERR_RELAY_BAD_BODY: {
    status: 400,
    stage: "request",
    retriable: false,
    text: "The request body is not one that this path takes, or is too large.",
  },
  ERR_RELAY_BAD_REFERENCE: {
    status: 404,
    stage: "request",
    retriable: false,
    text: "The session reference is not of the form vAc_<8 characters>.",
  },
  ERR_RELAY_NO_SESSION: {
    status: 404,
    stage: "request",
    retriable: false,
    text: "There is no such session.",
  },
  ERR_RELAY_NOT_FOUND: {
    status: 404,
    stage: "request",
    retriable: false,
    text: "There is nothing at this path.",
  },
  ERR_RELAY_METHOD: {
    status: 405,
    stage: "request",
    retriable: false,
    text: "This path does not take that method.",
  },
  ERR_RELAY_REQUEST_TIMEOUT: {
    status: 408,
    stage: "request",
    retriable: true,
    text: "The request body did not go on in time.",
  },
  ERR_RELAY_UPGRADE_REQUIRED: {
    status: 426,
    stage: "request",
    retriable: false,
    text: "This path takes WebSocket upgrades only.",
  },
  ERR_RELAY_UPGRADE: {
    status: 501,
    stage: "request",
    retriable: false,
    text: "WebSockets are not forwarded to devices.",
  },
  ERR_RELAY_INTERNAL: {
    status: 500,
    stage: "request",
    retriable: false,
    text: "The relay failed; the request id leads to the log entry.",
  },
} as const satisfies Record<string, RelayErrorRow>;

/** A code of {@link RELAY_ERRORS}. */
export type RelayErrorCode = keyof typeof RELAY_ERRORS;

/**
 * The error of a table row, ready to be answered.
 *
 * @param options `retryAfter` in seconds, 0 for none; `cause` goes to the log, never to the client
 */
export function relayError(
  code: RelayErrorCode,
  options: { retryAfter?: number; cause?: unknown } = {},
): HttpError {
  const row: RelayErrorRow = RELAY_ERRORS[code];
  return new HttpError(row.status, code, row.text, {
    stage: row.stage,
    retriable: row.retriable,
    retryAfter: options.retryAfter ?? 0,
    cause: options.cause,
  });
}
