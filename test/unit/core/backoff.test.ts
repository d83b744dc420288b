import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../../../src/core/backoff.ts";

test("the ceiling doubles from the base to the cap", () => {
  const backoff = new Backoff({ baseMs: 500, capMs: 3_000, random: () => 1 });
  assert.deepEqual(
    Array.from({ length: 5 }, () => backoff.next()),
    [500, 1_000, 2_000, 3_000, 3_000],
  );
  assert.equal(backoff.attempts, 5);
});

test("jitter is full: every delay from zero to the ceiling may come", () => {
  const draws = [0, 0.5, 0.25];
  const backoff = new Backoff({ baseMs: 100, capMs: 10_000, random: () => draws.shift() ?? 0 });
  assert.deepEqual([backoff.next(), backoff.next(), backoff.next()], [0, 100, 100]);
});

test("after a reset it starts over", () => {
  const backoff = new Backoff({ baseMs: 100, capMs: 10_000, random: () => 1 });
  backoff.next();
  backoff.next();
  backoff.reset();
  assert.equal(backoff.attempts, 0);
  assert.equal(backoff.next(), 100);
});

test("a thousand attempts overflow nothing", () => {
  const backoff = new Backoff({ baseMs: 500, capMs: 30_000, random: () => 1 });
  for (let attempt = 0; attempt < 2_000; attempt += 1) backoff.next();
  assert.equal(backoff.next(), 30_000);
});

for (const [baseMs, capMs] of [
  [0, 10],
  [-1, 10],
  [11, 10],
  [Number.NaN, 10],
  [1, Number.NaN],
] as const) {
  test(`base ${baseMs} and cap ${capMs} are refused`, () => {
    assert.throws(() => new Backoff({ baseMs, capMs }), RangeError);
  });
}
