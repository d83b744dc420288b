import assert from "node:assert/strict";
import test from "node:test";
import { type DoneStep, Steps } from "../../../src/cli/steps.ts";
import { AppError } from "../../../src/core/errors.ts";

test("steps: each one that is done is told with its time and result", async () => {
  const told: DoneStep[] = [];
  const steps = new Steps((step) => told.push(step));
  assert.equal(await steps.take("count", async () => 3, String), 3);
  await steps.take("rest", async () => undefined);
  assert.deepEqual(
    told.map(({ step, result }) => [step, result]),
    [
      ["count", "3"],
      ["rest", ""],
    ],
  );
  assert.ok(told.every(({ ms }) => ms >= 0));
  assert.deepEqual(steps.done, told);
});

test("steps: one that fails is named with the reason, and is not done", async () => {
  const steps = new Steps();
  const refused = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), {});
  const cases: readonly (readonly [unknown, string])[] = [
    [new Error("no bread"), "could not eat: no bread"],
    [new TypeError("fetch failed", { cause: refused }), `could not eat: ${refused.message}`],
    [new AppError("ERR_SOMETHING", ""), "could not eat: ERR_SOMETHING"],
    ["words", "could not eat: words"],
  ];
  for (const [thrown, message] of cases) {
    const work = steps.take("eat", () => Promise.reject(thrown));
    await assert.rejects(work, { code: "ERR_CLI_DEV_FAILED", message });
  }
  assert.deepEqual(steps.done, []);
});
