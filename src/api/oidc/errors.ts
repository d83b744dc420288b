import { errors } from "jose";
import {
  AuthorizationResponseError,
  ClientError,
  ResponseBodyError,
  WWWAuthenticateChallengeError,
} from "openid-client";
import { AppError } from "../../core/errors.ts";

/** What follows from an error: for the client, for the audit log, for the operator. */
export interface OidcErrorRow {
  /** Status of the answer. */
  readonly status: number;
  /** The public word for it, `code` of a problem body. */
  readonly word: string;
  /** `high` where somebody may be attacking, `alarm` where the operator must act. */
  readonly severity: "normal" | "high" | "alarm";
  /** Seconds for `Retry-After`, 0 for none. */
  readonly retryAfter: number;
  /** Safe to show: names the rule, never a token, a cause or text that the identity provider sent. */
  readonly text: string;
}

function row(
  status: number,
  word: string,
  text: string,
  severity: OidcErrorRow["severity"] = "normal",
  retryAfter = 0,
): OidcErrorRow {
  return { status, word, severity, retryAfter, text };
}

/** Every error that signing in, signing out and machine tokens can end with. */
export const OIDC_ERRORS = {
  ERR_OIDC_CALLBACK_INVALID: row(
    400,
    "sign_in_invalid",
    "The answer of the identity provider is malformed.",
  ),
  ERR_OIDC_SIGN_IN_EXPIRED: row(400, "sign_in_expired", "The sign-in expired. Try again."),
  ERR_OIDC_ACCESS_DENIED: row(403, "access_denied", "The identity provider denied access."),
  ERR_OIDC_LOGIN_REQUIRED: row(
    400,
    "login_required",
    "The identity provider wants you to sign in there first.",
  ),
  ERR_OIDC_IDP_BUSY: row(
    503,
    "idp_unavailable",
    "The identity provider is busy. Try again soon.",
    "normal",
    30,
  ),
  ERR_OIDC_IDP_ERROR: row(400, "idp_error", "The identity provider failed. Try again."),
  ERR_OIDC_SIGN_IN_REFUSED: row(
    400,
    "sign_in_refused",
    "The identity provider refused the sign-in.",
  ),
  ERR_OIDC_CODE_REFUSED: row(
    400,
    "sign_in_expired",
    "The identity provider no longer takes this sign-in. Try again.",
  ),
  ERR_OIDC_CLIENT_REFUSED: row(
    500,
    "internal",
    "The identity provider does not accept this server's registration.",
    "alarm",
  ),
  ERR_OIDC_CLAIM_MISMATCH: row(
    400,
    "sign_in_invalid",
    "The ID token is not meant for this sign-in.",
    "high",
  ),
  ERR_OIDC_ID_TOKEN_INVALID: row(400, "sign_in_invalid", "The ID token breaks the rules.", "high"),
  ERR_OIDC_TOKEN_TIME: row(
    400,
    "sign_in_invalid",
    "The ID token is not valid at this time; the clocks may differ.",
  ),
  ERR_OIDC_REAUTH_STALE: row(
    400,
    "reauth_required",
    "The identity provider did not ask who you are again.",
    "high",
  ),
  ERR_OIDC_USERINFO_SUBJECT: row(
    400,
    "sign_in_invalid",
    "The user information is about somebody else.",
    "high",
  ),
  ERR_OIDC_USERINFO_REFUSED: row(
    502,
    "idp_error",
    "The identity provider gave no user information.",
  ),
  ERR_OIDC_SIGNED_OUT: row(400, "sign_in_expired", "The identity provider ended this sign-in."),
  ERR_OIDC_NO_TENANT: row(403, "no_tenant", "This account belongs to no tenant."),
  ERR_OIDC_KEY_UNKNOWN: row(502, "idp_error", "The identity provider's keys have none that fits."),
  ERR_OIDC_IDP_RESPONSE: row(
    502,
    "idp_error",
    "The identity provider gave an answer that cannot be used.",
  ),
  ERR_OIDC_IDP_TIMEOUT: row(504, "idp_timeout", "The identity provider did not answer in time."),
  ERR_OIDC_IDP_UNREACHABLE: row(
    503,
    "idp_unavailable",
    "The identity provider cannot be reached.",
    "normal",
    30,
  ),
  ERR_OIDC_IDP_CIRCUIT: row(
    503,
    "idp_unavailable",
    "The identity provider failed several times and is left alone for a moment.",
    "normal",
    30,
  ),
  ERR_OIDC_METADATA: row(
    502,
    "idp_error",
    "The identity provider's metadata cannot be used.",
    "alarm",
  ),
  ERR_OIDC_LOGOUT_TOKEN_INVALID: row(
    400,
    "invalid_request",
    "The logout token breaks the rules.",
    "high",
  ),
  ERR_OIDC_LOGOUT_MEDIA_TYPE: row(415, "invalid_request", "A logout token comes as a form."),
  ERR_OIDC_LOGOUT_TOO_LARGE: row(
    413,
    "invalid_request",
    "The form is larger than a logout token can be.",
  ),
  ERR_OIDC_ACCESS_TOKEN_INVALID: row(401, "invalid_token", "The access token is not valid here."),
  ERR_OIDC_INTERNAL: row(500, "internal", "Something went wrong in this server.", "alarm"),
} as const satisfies Readonly<Record<string, OidcErrorRow>>;

export type OidcErrorCode = keyof typeof OIDC_ERRORS;

/**
 * An error with its consequences. It has no cause: what lies beneath may hold tokens, claims or text of the identity
 * provider. `rule` names what was broken, for the audit log, in words of ours.
 */
export class OidcError extends AppError {
  declare readonly code: OidcErrorCode;
  readonly row: OidcErrorRow;
  readonly rule: string | null;

  constructor(code: OidcErrorCode, rule: string | null = null) {
    super(code, OIDC_ERRORS[code].text);
    this.row = OIDC_ERRORS[code];
    this.rule = rule;
  }
}

/** `error` of an authorization response. RFC 6749, section 4.1.2.1; OpenID Connect Core, section 3.1.2.6. */
export function authorizationError(error: string): OidcError {
  switch (error) {
    case "access_denied":
      return new OidcError("ERR_OIDC_ACCESS_DENIED");
    case "login_required":
      return new OidcError("ERR_OIDC_LOGIN_REQUIRED");
    case "temporarily_unavailable":
      return new OidcError("ERR_OIDC_IDP_BUSY");
    case "server_error":
      return new OidcError("ERR_OIDC_IDP_ERROR");
    default:
      return new OidcError("ERR_OIDC_SIGN_IN_REFUSED");
  }
}

/** `error` of a token response. RFC 6749, section 5.2. */
function tokenError(error: string): OidcError {
  switch (error) {
    case "invalid_grant":
      return new OidcError("ERR_OIDC_CODE_REFUSED");
    case "invalid_client":
    case "unauthorized_client":
    case "unsupported_grant_type":
      return new OidcError("ERR_OIDC_CLIENT_REFUSED", error);
    default:
      return new OidcError("ERR_OIDC_IDP_RESPONSE", "token_error");
  }
}

/**
 * The same for what a token request threw. A 401 is about the client's own credentials, with a challenge in the header
 * or with a body.
 */
export function toTokenRequestError(thrown: unknown): OidcError {
  return thrown instanceof WWWAuthenticateChallengeError
    ? new OidcError("ERR_OIDC_CLIENT_REFUSED", "challenge")
    : toOidcError(thrown);
}

/** Codes of openid-client and of jose. */
const LIBRARY_CODES: Readonly<Record<string, OidcErrorCode>> = {
  OAUTH_INVALID_RESPONSE: "ERR_OIDC_ID_TOKEN_INVALID",
  OAUTH_UNSUPPORTED_OPERATION: "ERR_OIDC_ID_TOKEN_INVALID",
  OAUTH_JWT_CLAIM_COMPARISON_FAILED: "ERR_OIDC_CLAIM_MISMATCH",
  OAUTH_JWT_TIMESTAMP_CHECK_FAILED: "ERR_OIDC_TOKEN_TIME",
  OAUTH_KEY_SELECTION_FAILED: "ERR_OIDC_KEY_UNKNOWN",
  OAUTH_RESPONSE_IS_NOT_CONFORM: "ERR_OIDC_IDP_RESPONSE",
  OAUTH_RESPONSE_IS_NOT_JSON: "ERR_OIDC_IDP_RESPONSE",
  OAUTH_PARSE_ERROR: "ERR_OIDC_IDP_RESPONSE",
  OAUTH_TIMEOUT: "ERR_OIDC_IDP_TIMEOUT",
  OAUTH_ABORT: "ERR_OIDC_IDP_TIMEOUT",
  OAUTH_HTTP_REQUEST_FORBIDDEN: "ERR_OIDC_METADATA",
  OAUTH_REQUEST_PROTOCOL_FORBIDDEN: "ERR_OIDC_METADATA",
  OAUTH_MISSING_SERVER_METADATA: "ERR_OIDC_METADATA",
  OAUTH_INVALID_SERVER_METADATA: "ERR_OIDC_METADATA",
  OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED: "ERR_OIDC_USERINFO_SUBJECT",
  OAUTH_WWW_AUTHENTICATE_CHALLENGE: "ERR_OIDC_USERINFO_REFUSED",
  [errors.JWTExpired.code]: "ERR_OIDC_TOKEN_TIME",
  [errors.JWTClaimValidationFailed.code]: "ERR_OIDC_CLAIM_MISMATCH",
  [errors.JWTInvalid.code]: "ERR_OIDC_ID_TOKEN_INVALID",
  [errors.JWSInvalid.code]: "ERR_OIDC_ID_TOKEN_INVALID",
  [errors.JWSSignatureVerificationFailed.code]: "ERR_OIDC_ID_TOKEN_INVALID",
  [errors.JOSEAlgNotAllowed.code]: "ERR_OIDC_ID_TOKEN_INVALID",
  [errors.JOSENotSupported.code]: "ERR_OIDC_ID_TOKEN_INVALID",
  [errors.JWKSNoMatchingKey.code]: "ERR_OIDC_KEY_UNKNOWN",
  [errors.JWKSMultipleMatchingKeys.code]: "ERR_OIDC_KEY_UNKNOWN",
  [errors.JWKSInvalid.code]: "ERR_OIDC_IDP_RESPONSE",
};

/**
 * The one place where whatever was thrown becomes an error of the table. Never throws, and takes over no text.
 */
export function toOidcError(error: unknown): OidcError {
  if (error instanceof OidcError) return error;
  // What our own fetch throws comes back wrapped by openid-client.
  if (error instanceof ClientError && error.cause instanceof OidcError) return error.cause;
  if (error instanceof AuthorizationResponseError) return authorizationError(error.error);
  if (error instanceof ResponseBodyError) return tokenError(error.error);
  if (error instanceof WWWAuthenticateChallengeError) {
    return new OidcError("ERR_OIDC_USERINFO_REFUSED", "challenge");
  }
  const code = codeOf(error);
  const mapped = code === null ? undefined : LIBRARY_CODES[code];
  if (mapped !== undefined) return new OidcError(mapped, code);
  // The network's errors are no errors of the library: `fetch` raises a TypeError that has a cause with a code.
  if (error instanceof TypeError && error.message === "fetch failed") {
    return new OidcError("ERR_OIDC_IDP_UNREACHABLE");
  }
  return new OidcError("ERR_OIDC_INTERNAL");
}

function codeOf(error: unknown): string | null {
  const code: unknown = error instanceof Error && "code" in error ? error.code : null;
  return typeof code === "string" && Object.hasOwn(LIBRARY_CODES, code) ? code : null;
}
