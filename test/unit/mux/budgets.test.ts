import assert from "node:assert/strict";
import { test } from "node:test";
import { Budgets, takeToken } from "../../../src/mux/budgets.ts";
import { muxOptions } from "../../../src/mux/index.ts";

test("a bucket in one number gives its burst, then what comes back", () => {
  let fullAt = 0;
  const taken = (now: number, wanted: number): number => {
    let count = 0;
    for (let n = 0; n < wanted; n++) {
      const next = takeToken(fullAt, now, 20, 5);
      if (next < 0) break;
      fullAt = next;
      count++;
    }
    return count;
  };
  assert.equal(taken(1_000, 100), 20);
  assert.equal(taken(1_000, 100), 0);
  assert.equal(taken(1_199, 100), 0);
  assert.equal(taken(1_200, 100), 1);
  assert.equal(taken(3_200, 100), 10);
  assert.equal(taken(1_000_000, 100), 20);
});

test("a bucket that nothing refills gives its burst once", () => {
  let fullAt = 0;
  for (let n = 0; n < 3; n++) {
    fullAt = takeToken(fullAt, 50, 3, 0);
    assert.ok(fullAt >= 0);
  }
  assert.equal(takeToken(fullAt, 100_000, 3, 0), -1);
});

test("opens have a burst and a rate", () => {
  const budgets = new Budgets(muxOptions({ opensBurst: 3, opensPerSecond: 2 }), 0);
  const opens = (now: number) => [1, 2, 3, 4].filter(() => budgets.spendOpen(now)).length;
  assert.equal(opens(0), 3);
  assert.equal(opens(499), 0);
  assert.equal(opens(1_000), 2);
  assert.equal(opens(60_000), 3);
});

test("refusals are counted in windows of 10 s", () => {
  const budgets = new Budgets(muxOptions({ refusalsMax: 3 }), 0);
  assert.deepEqual(
    [0, 9_999, 10_000, 19_999, 19_999].map((now) => budgets.spendRefusal(now)),
    [true, true, true, true, false],
  );
});

test("two overruns in a minute are forgiven", () => {
  const budgets = new Budgets(muxOptions(), 0);
  assert.deepEqual(
    [5, 6, 7].map((now) => budgets.spendOverrun(now)),
    [true, true, false],
  );
  assert.equal(budgets.spendOverrun(60_005), true);
});

test("tiny frames are abuse only when kept up for seconds", () => {
  const limits = { tinyFramesPerSecond: 10, tinyFramesSeconds: 3 };
  const kept = (seconds: number, rate: number): boolean => {
    const budgets = new Budgets(muxOptions(limits), 0);
    let within = true;
    for (let now = 0; now < seconds * 1_000; now += 1_000 / rate) {
      within = budgets.spendTinyFrame(now) && within;
    }
    return within;
  };
  assert.equal(kept(20, 10), true);
  assert.equal(kept(3, 100), true);
  assert.equal(kept(5, 100), false);
});
