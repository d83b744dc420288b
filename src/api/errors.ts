import { HttpError } from "../core/errors.ts";

/** One row of the table: what a client of the API is told. */
export interface ApiErrorRow {
  readonly status: number;
  /** True where the same request may succeed later, unchanged. */
  readonly retriable: boolean;
  /** Safe to send: names the rule, never a token, a cause or bytes that somebody sent. */
  readonly text: string;
}

const row = (status: number, text: string, retriable = false): ApiErrorRow => ({
  status,
  retriable,
  text,
});

/**
 * Every error that the HTTP layer of the API server answers with, by its `code`. Codes are stable; `docs/errors.md`
 * lists the same ones.
 */
export const API_ERRORS = {
  bad_request: row(400, "The request breaks the rules of HTTP/1.1."),
  bad_path: row(400, "The path is not written in its one plain form."),
  duplicate_field: row(400, "A header field that may stand once stands more than once."),
  unexpected_body: row(400, "This operation takes no body."),
  invalid_request: row(400, "A parameter or the body does not fit its description."),
  unauthenticated: row(401, "Valid credentials are needed."),
  csrf_failed: row(403, "The request does not prove that it comes from our own pages."),
  cross_site: row(403, "Other sites may not read this."),
  insufficient_scope: row(403, "These credentials have not the scope that is needed."),
  insufficient_role: row(403, "This needs another role."),
  not_found: row(404, "There is nothing here."),
  method_not_allowed: row(405, "This path does not take that method."),
  request_timeout: row(408, "The request did not go on in time.", true),
  body_too_large: row(413, "The body is larger than this operation takes."),
  uri_too_long: row(414, "The request target is too long."),
  unsupported_media_type: row(415, "The body is of a type that this operation does not take."),
  expectation_failed: row(417, "The only expectation that is met is 100-continue."),
  rate_limited: row(429, "Too many failed attempts from this address.", true),
  head_too_large: row(431, "The request head is too large."),
  internal: row(500, "The server failed; the request id leads to the log entry."),
  transfer_coding: row(501, "The only transfer coding that is taken is chunked."),
  unavailable: row(503, "This cannot be answered now.", true),
} as const satisfies Record<string, ApiErrorRow>;

/** A code of {@link API_ERRORS}. */
export type ApiErrorCode = keyof typeof API_ERRORS;

/** Where the input does not fit its description. Never holds the value itself. */
export interface InputIssue {
  readonly in: "query" | "body";
  /** JSON pointer (RFC 6901) from the body's root, or to the query parameter. */
  readonly pointer: string;
  readonly detail: string;
}

/** What an {@link ApiError} may carry beside its row. */
export interface ApiErrorOptions {
  /** Another sentence than the row's; safe to send. */
  readonly detail?: string;
  /** Seconds for `Retry-After`, 0 for none. */
  readonly retryAfter?: number;
  /** Further fields of the answer, for example `Allow`. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly issues?: readonly InputIssue[];
  /** For the log alone. */
  readonly cause?: unknown;
}

/** An error that a client of the API is told of. */
export class ApiError extends HttpError {
  readonly headers: Readonly<Record<string, string>>;
  readonly issues: readonly InputIssue[];

  /** @param code of the table, or one that a handler's own module describes, together with its row */
  constructor(code: string, row: ApiErrorRow, options: ApiErrorOptions = {}) {
    super(row.status, code, options.detail ?? row.text, {
      retriable: row.retriable,
      retryAfter: options.retryAfter ?? 0,
      cause: options.cause,
    });
    this.headers = options.headers ?? {};
    this.issues = options.issues ?? [];
  }
}

/** The error of a table row, ready to be thrown. */
export function apiError(code: ApiErrorCode, options: ApiErrorOptions = {}): ApiError {
  return new ApiError(code, API_ERRORS[code], options);
}

/** The value of `WWW-Authenticate` when no credential was shown, and when a bad one was. */
const CHALLENGE = 'Bearer realm="hawser"';

/**
 * 401, the same for unknown, expired, revoked and misplaced credentials.
 *
 * @param presented whether a credential was shown at all
 * @see RFC 6750, section 3
 */
export function unauthenticated(presented: boolean): ApiError {
  const challenge = presented ? `${CHALLENGE}, error="invalid_token"` : CHALLENGE;
  return apiError("unauthenticated", { headers: { "www-authenticate": challenge } });
}

/** 403 for a known caller without the scope. @see RFC 6750, section 3.1 */
export function insufficientScope(scope: string): ApiError {
  const challenge = `${CHALLENGE}, error="insufficient_scope", scope="${scope}"`;
  return apiError("insufficient_scope", { headers: { "www-authenticate": challenge } });
}
