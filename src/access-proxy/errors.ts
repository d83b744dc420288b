import { AppError } from "../core/errors.ts";

/** `error` of an OAuth 2.0 error body, of any party. */
export type OAuthErrorCode =
  | "invalid_request"
  | "invalid_client"
  | "invalid_grant"
  | "invalid_scope"
  | "access_denied"
  | "server_error";

/** One row of the table: what a caller of the proxy is answered. */
export interface AccessProxyErrorRow {
  readonly status: number;
  readonly error: OAuthErrorCode;
  /** Printable ASCII; `{}` is the place of a name that the situation gives: an account's tag, an ID provider's id. */
  readonly text: string;
}

/**
 * Every error that the proxy itself answers with, as `X-Access-Proxy-Error` and as an OAuth 2.0 error body. The access line and
 * the metrics have the code.
 *
 * @see TA cooperation, section 4.9: rows E1 to E31; E17 refuses the start, E31 has nobody to answer
 */
export const ACCESS_PROXY_ERRORS = {
  ERR_ACCESS_PROXY_NO_TARGET: {
    status: 400,
    error: "invalid_request",
    text: "X-Access-Proxy-To is missing",
  },
  ERR_ACCESS_PROXY_TARGET: {
    status: 400,
    error: "invalid_request",
    text: "X-Access-Proxy-To is not a usable URI",
  },
  ERR_ACCESS_PROXY_DESTINATION: {
    status: 403,
    error: "access_denied",
    text: "destination is not allowed",
  },
  ERR_ACCESS_PROXY_NO_USERS: {
    status: 400,
    error: "invalid_request",
    text: "X-Access-Proxy-Users is missing",
  },
  ERR_ACCESS_PROXY_USERS: {
    status: 400,
    error: "invalid_request",
    text: "X-Access-Proxy-Users is malformed",
  },
  ERR_ACCESS_PROXY_USERS_SIGNED: {
    status: 400,
    error: "invalid_request",
    text: "X-Access-Proxy-Users must be an unsigned JWT",
  },
  ERR_ACCESS_PROXY_NO_ISS: {
    status: 400,
    error: "invalid_request",
    text: "account {} lacks iss",
  },
  ERR_ACCESS_PROXY_NO_SUB: {
    status: 400,
    error: "invalid_request",
    text: "account {} lacks sub",
  },
  ERR_ACCESS_PROXY_NO_PRINCIPAL: {
    status: 400,
    error: "invalid_request",
    text: "no principal account",
  },
  ERR_ACCESS_PROXY_TWO_PRINCIPALS: {
    status: 400,
    error: "invalid_request",
    text: "more than one principal account",
  },
  ERR_ACCESS_PROXY_ACCOUNTS_MAX: {
    status: 400,
    error: "invalid_request",
    text: "too many accounts",
  },
  ERR_ACCESS_PROXY_TAG: {
    status: 400,
    error: "invalid_request",
    text: "account tag is invalid",
  },
  ERR_ACCESS_PROXY_SELF: {
    status: 400,
    error: "invalid_request",
    text: "destination TA is this TA",
  },
  ERR_ACCESS_PROXY_NO_TOKEN: {
    status: 400,
    error: "invalid_request",
    text: "no access token for this tag",
  },
  ERR_ACCESS_PROXY_TOKEN_EXPIRED: {
    status: 400,
    error: "invalid_request",
    text: "access token has expired",
  },
  ERR_ACCESS_PROXY_MAIN_IDP: {
    status: 400,
    error: "invalid_request",
    text: "unknown main ID provider {}",
  },
  ERR_ACCESS_PROXY_SUB_IDP: {
    status: 400,
    error: "invalid_request",
    text: "unknown ID provider {}",
  },
  ERR_ACCESS_PROXY_SIGNING: {
    status: 500,
    error: "server_error",
    text: "cannot sign client assertion",
  },
  ERR_ACCESS_PROXY_IDP_UNREACHABLE: {
    status: 500,
    error: "server_error",
    text: "ID provider {} is unreachable",
  },
  ERR_ACCESS_PROXY_IDP_STATUS: {
    status: 500,
    error: "server_error",
    text: "ID provider {} answered {}",
  },
  ERR_ACCESS_PROXY_IDP_ANSWER: {
    status: 500,
    error: "server_error",
    text: "ID provider {} sent a bad response",
  },
  ERR_ACCESS_PROXY_CODE_TOKEN: {
    status: 500,
    error: "server_error",
    text: "ID provider {} sent a bad code token",
  },
  ERR_ACCESS_PROXY_UNREACHABLE: {
    status: 404,
    error: "invalid_request",
    text: "destination is unreachable",
  },
  ERR_ACCESS_PROXY_BAD_ANSWER: {
    status: 500,
    error: "server_error",
    text: "destination did not give a valid response",
  },
  ERR_ACCESS_PROXY_TIMEOUT: {
    status: 504,
    error: "server_error",
    text: "destination timed out",
  },
  ERR_ACCESS_PROXY_NO_REPLAY: {
    status: 500,
    error: "server_error",
    text: "request body is too large to replay; try again",
  },
  ERR_ACCESS_PROXY_CALLER: {
    status: 401,
    error: "invalid_client",
    text: "caller is not authenticated",
  },
  ERR_ACCESS_PROXY_METHOD: {
    status: 405,
    error: "invalid_request",
    text: "method is not supported",
  },
  ERR_ACCESS_PROXY_INTERNAL: {
    status: 500,
    error: "server_error",
    text: "internal error",
  },
  ERR_ACCESS_PROXY_ENDPOINT: {
    status: 404,
    error: "invalid_request",
    text: "invalid endpoint",
  },
} as const satisfies Readonly<Record<string, AccessProxyErrorRow>>;

/** A code of {@link ACCESS_PROXY_ERRORS}. */
export type AccessProxyErrorCode = keyof typeof ACCESS_PROXY_ERRORS;

/** Characters that an error's text has at the most. */
export const ERROR_TEXT_MAX = 512;

/** The text as a header may carry it: printable ASCII, each other character a `?`, and no more than the limit. */
export function printableAscii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, ERROR_TEXT_MAX);
}

/** A call that the proxy answers by itself. `message` is what the caller is told. */
export class AccessProxyError extends AppError {
  declare readonly code: AccessProxyErrorCode;
  readonly status: number;
  readonly error: OAuthErrorCode;

  /** @param names what stands in the places of the row's text, in their order */
  constructor(
    code: AccessProxyErrorCode,
    names: readonly string[] = [],
    options?: { cause?: unknown },
  ) {
    const row: AccessProxyErrorRow = ACCESS_PROXY_ERRORS[code];
    const rest = [...names];
    super(code, printableAscii(row.text.replaceAll("{}", () => rest.shift() ?? "")), options);
    this.status = row.status;
    this.error = row.error;
  }
}
