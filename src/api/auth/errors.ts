import type { ApiErrorRow } from "../errors.ts";

/**
 * What signing in, signing out and the users' routes answer beside the errors of the HTTP layer and those of the
 * identity provider.
 */
export const AUTH_ERRORS = {
  account_disabled: { status: 403, retriable: false, text: "This account is disabled." },
  session_expiry_past: {
    status: 400,
    retriable: false,
    text: "By the identity provider's rule this session is over before it begins.",
  },
  too_many_sign_ins: {
    status: 503,
    retriable: true,
    text: "Too many sign-ins are under way. Try again in a moment.",
  },
  too_many_attempts: {
    status: 429,
    retriable: true,
    text: "Too many attempts from this address. Try again in a moment.",
  },
  own_account: {
    status: 409,
    retriable: false,
    text: "Administrators cannot disable themselves.",
  },
} as const satisfies Record<string, ApiErrorRow>;

export type AuthErrorCode = keyof typeof AUTH_ERRORS;
