import { AppError } from "../core/errors.ts";

/** Every error code of the command line itself. `docs/errors.md` lists the same. */
export const CLI_ERRORS = {
  ERR_CLI_USAGE: "The command line is not one that the command takes.",
  ERR_CLI_DEV_FAILED: "A step of `hawser dev` failed; the message names it.",
  ERR_CLI_UNEXPECTED: "An error that should not happen and has no code of its own.",
} as const;

export type CliErrorCode = keyof typeof CLI_ERRORS;

/** An error of a command, told to its user in one sentence. */
export function cliError(code: CliErrorCode, sentence: string, cause?: unknown): AppError {
  return new AppError(code, sentence, cause === undefined ? undefined : { cause });
}
