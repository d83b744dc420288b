import { ApiError, type ApiErrorOptions, type ApiErrorRow } from "../errors.ts";

/** Every answer of its own that the sign-in of the command line has, by its `code`. */
export const CLI_LOGIN_ERRORS = {
  cli_login_invalid: {
    status: 400,
    retriable: false,
    text: "This is no sign-in that a command line of Hawser began. Nothing was allowed.",
  },
  cli_login_over: {
    status: 400,
    retriable: false,
    text: "This page was answered before, or is too old. Nothing was allowed; run the command again.",
  },
  cli_login_code_invalid: {
    status: 400,
    retriable: false,
    text: "The code is not one that can be exchanged. Run the command again.",
  },
} as const satisfies Record<string, ApiErrorRow>;

/** A code of {@link CLI_LOGIN_ERRORS}. */
export type CliLoginErrorCode = keyof typeof CLI_LOGIN_ERRORS;

/** The error of a table row, ready to be thrown. */
export function cliLoginError(code: CliLoginErrorCode, options: ApiErrorOptions = {}): ApiError {
  return new ApiError(code, CLI_LOGIN_ERRORS[code], options);
}
