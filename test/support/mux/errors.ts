import assert from "node:assert/strict";
import type { AppError } from "../../../src/core/errors.ts";

/** What the tests ask of an error, without regard to its class. */
interface Told {
  readonly code: string;
  readonly initiator?: string;
  readonly retriable?: boolean;
}

/** Checks that a stream or call ended by an error of `initiator`; returns its code. */
export function expectClosed(
  error: AppError | null,
  initiator: "local" | "remote" | "transport",
  retriable?: boolean,
): string {
  assert.ok(error !== null, "there is an error");
  const told = error as Told;
  assert.match(told.code, /^ERR_MUX_/);
  assert.equal(told.initiator, initiator, told.code);
  if (retriable !== undefined) assert.equal(told.retriable, retriable, told.code);
  return told.code;
}

/** The code of the error that `call` throws. */
export function codeThrownBy(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return (error as Told).code;
  }
  return assert.fail("nothing was thrown");
}
