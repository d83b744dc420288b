import type { OAuthErrorCode } from "../../../src/access-proxy/index.ts";

/** A request that a party refuses; `message` is what its `error_description` says. */
export class OAuthError extends Error {
  readonly status: number;
  readonly error: OAuthErrorCode;

  constructor(status: number, error: OAuthErrorCode, description: string) {
    super(description);
    this.name = "OAuthError";
    this.status = status;
    this.error = error;
  }
}

/** 400 `invalid_request`. */
export function invalidRequest(description: string): OAuthError {
  return new OAuthError(400, "invalid_request", description);
}

/** 400 `invalid_grant`. */
export function invalidGrant(description: string): OAuthError {
  return new OAuthError(400, "invalid_grant", description);
}

/** 400 `invalid_client`. */
export function invalidClient(description: string): OAuthError {
  return new OAuthError(400, "invalid_client", description);
}

/** 403 `access_denied`. */
export function accessDenied(description: string): OAuthError {
  return new OAuthError(403, "access_denied", description);
}
