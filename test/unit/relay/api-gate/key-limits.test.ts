import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../../src/core/clock.ts";
import { KeyLimits } from "../../../../src/relay/api-gate/key-limits.ts";

test("key limits: a bucket holds a minute's requests, is filled steadily, and never above that", () => {
  const clock = new ManualClock(5_000);
  const limit = new KeyLimits(clock, 10).of("hwk_1", 60);
  assert.ok(limit !== null);
  for (let count = 0; count < 60; count++) assert.equal(limit.take(), 0);
  assert.equal(limit.take(), 1);
  clock.advance(999);
  assert.equal(limit.take(), 1);
  clock.advance(1);
  assert.equal(limit.take(), 0);
  clock.advance(3_600_000);
  for (let count = 0; count < 60; count++) assert.equal(limit.take(), 0);
  assert.equal(limit.take(), 1);
});

test("key limits: the slowest and the fastest key are told a time that holds", () => {
  const clock = new ManualClock();
  const limits = new KeyLimits(clock, 10);
  const slow = limits.of("hwk_1", 1);
  assert.deepEqual([slow?.take(), slow?.take()], [0, 60]);
  clock.advance(60_000);
  assert.equal(slow?.take(), 0);
  const fast = limits.of("hwk_2", 1_000_000);
  for (let count = 0; count < 1_000_000; count++) fast?.take();
  assert.equal(fast?.take(), 1);
});

test("key limits: so many buckets at most, none for keys without a limit, and one that stays with its key", () => {
  const limits = new KeyLimits(new ManualClock(), 2);
  const first = limits.of("hwk_1", 5);
  assert.equal(limits.of("hwk_1", 5), first);
  assert.notEqual(limits.of("hwk_1", 6), first);
  limits.of("hwk_2", 5);
  limits.of("hwk_3", 5);
  assert.equal(limits.size, 2);
  assert.equal(limits.of("hwk_3", undefined), null);
  assert.equal(limits.size, 1);
});
