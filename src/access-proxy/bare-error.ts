/**
 * An error as it may be logged: its message, code and stack. Errors of HTTP parsers also hold the bytes that they did not
 * understand, which may be somebody's tokens.
 *
 * @see TA cooperation, section 14.3
 */
export function bareError(error: unknown): Error {
  if (!(error instanceof Error)) return new Error("not an error");
  const bare = new Error(error.message);
  bare.stack = error.stack ?? "";
  return "code" in error ? Object.assign(bare, { code: error.code }) : bare;
}
