import assert from "node:assert/strict";
import { test } from "node:test";
import {
  chosenOf,
  positiveNumber,
  UsageError,
  wholeNumber,
} from "../../../bench/support/command.ts";

test("flags of the bench: numbers are whole, or above 0, or told to be wrong by the flag's name", () => {
  assert.equal(wholeNumber("--n", "1"), 1);
  assert.equal(wholeNumber("--n", "20", 20), 20);
  assert.equal(wholeNumber("--n", "0", 0), 0);
  for (const text of ["", " ", "0", "-1", "1.5", "x", "1e99", "Infinity"]) {
    assert.throws(
      () => wholeNumber("--n", text),
      (error: unknown) => error instanceof UsageError && error.message.startsWith("--n takes "),
      JSON.stringify(text),
    );
  }
  assert.equal(positiveNumber("--n", "0.5"), 0.5);
  for (const text of ["", "0", "-1", "x", "Infinity"]) {
    assert.throws(() => positiveNumber("--n", text), UsageError, JSON.stringify(text));
  }
});

test("flags of the bench: names come in the order in which they are known, and once", () => {
  const known = ["a", "b", "c"] as const;
  assert.deepEqual(chosenOf("--only", [], known), known);
  assert.deepEqual(chosenOf("--only", [], known, ["b"]), ["b"]);
  assert.deepEqual(chosenOf("--only", ["c", "a", "c"], known), ["a", "c"]);
  assert.throws(
    () => chosenOf("--only", ["a", "d"], known),
    (error: unknown) =>
      error instanceof UsageError && error.message === "--only d: known are a, b, c",
  );
});
