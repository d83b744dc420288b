import { AppError } from "../core/errors.ts";

/** Every error code of the command line itself. `docs/errors.md` lists the same. */
export const CLI_ERRORS = {
  ERR_CLI_USAGE: "The command line is not one that the command takes.",
  ERR_CLI_DEV_FAILED: "A step of `hawser dev` failed; the message names it.",
  ERR_CLI_API_UNREACHABLE: "The API server cannot be reached, or gave no answer in time.",
  ERR_CLI_API_ANSWER: "What answered is not Hawser's API, or one of another version.",
  ERR_CLI_NOT_SIGNED_IN: "No key of that API server is stored here; `hawser login` gets one.",
  ERR_CLI_LOGIN: "The sign-in in the browser was denied, or not finished in time.",
  ERR_CLI_KEY_ELSEWHERE:
    "The key is not one that this machine holds; a key can revoke itself alone.",
  ERR_CLI_NOT_FOUND: "The database has no such user, tenant or client.",
  ERR_CLI_RELAY_NOT_TOLD:
    "The change is made, and the relay could not be told of it at once; it learns of it within a minute.",
  ERR_CLI_UNEXPECTED: "An error that should not happen and has no code of its own.",
} as const;

export type CliErrorCode = keyof typeof CLI_ERRORS;

/** An error that says what its user can do about it. */
export class CommandError extends AppError {
  /** One or more sentences, or "". */
  readonly advice: string;

  /** @param code of this table, or one that the API server answered with */
  constructor(code: string, sentence: string, advice: string, cause?: unknown) {
    super(code, sentence, cause === undefined ? undefined : { cause });
    this.advice = advice;
  }
}

/** An error of a command, told to its user in one sentence. */
export function cliError(code: CliErrorCode, sentence: string, cause?: unknown): AppError {
  return new AppError(code, sentence, cause === undefined ? undefined : { cause });
}
