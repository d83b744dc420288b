import assert from "node:assert/strict";
import { test } from "node:test";
import { atTurnEnd } from "../../../src/core/turn-end.ts";

function turnOver(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

test("turn end: whatever waits is written once, in its order, and not before the turn is over", async () => {
  const written: string[] = [];
  for (const name of ["a", "b", "c"]) atTurnEnd({ flush: () => written.push(name) });
  await Promise.resolve();
  assert.deepEqual(written, []);
  await turnOver();
  assert.deepEqual(written, ["a", "b", "c"]);
  await turnOver();
  assert.equal(written.length, 3);
});

test("turn end: what begins to wait while others are written is written in the turn after", async () => {
  const written: string[] = [];
  const late = { flush: () => written.push("late") };
  atTurnEnd({
    flush() {
      written.push("first");
      atTurnEnd(late);
    },
  });
  atTurnEnd({ flush: () => written.push("second") });
  await turnOver();
  assert.deepEqual(written, ["first", "second"]);
  await turnOver();
  assert.deepEqual(written, ["first", "second", "late"]);
});
