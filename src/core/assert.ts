/** Raised when Hawser itself is wrong: never caused by a peer's or a user's input. */
export class AssertionError extends Error {
  readonly code = "ERR_ASSERTION";
}

/** Checks an invariant of our own. Costs one branch. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new AssertionError(`invariant broken: ${invariant}`);
}
