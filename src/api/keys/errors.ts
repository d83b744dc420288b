import { ApiError, type ApiErrorOptions, type ApiErrorRow } from "../errors.ts";

/** What the routes of keys answer with, beside the errors of the HTTP layer. */
export const KEY_ERRORS = {
  reauth_required: {
    status: 403,
    retriable: false,
    text: "This needs a sign-in of the last 15 minutes.",
  },
  keys_per_user: {
    status: 409,
    retriable: false,
    text: "You have as many keys as are allowed; revoke one first.",
  },
} as const satisfies Record<string, ApiErrorRow>;

export type KeyErrorCode = keyof typeof KEY_ERRORS;

/** The error of a row, ready to be thrown. */
export function keyError(code: KeyErrorCode, options: ApiErrorOptions = {}): ApiError {
  return new ApiError(code, KEY_ERRORS[code], options);
}
