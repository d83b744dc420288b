import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../../../src/core/errors.ts";
import { type MuxOptions, muxOptions } from "../../../src/mux/index.ts";

test("the defaults are those of the specification, and frozen", () => {
  const options = muxOptions();
  assert.equal(options.initialWindowBytes, 262_144);
  assert.equal(options.maxWindowBytes, 4 << 20);
  assert.equal(options.maxDataFrameBytes, 16_384);
  assert.equal(options.maxWsMessageOutBytes, 65_548);
  assert.equal(options.overrunPolicy, "session");
  assert.equal(Object.isFrozen(options), true);
});

const wrong: ReadonlyArray<readonly [setting: string, partial: Record<string, unknown>]> = [
  ["initialWindowBytes", { initialWindowBytes: 262_143 }],
  ["initialWindowBytes", { initialWindowBytes: 2 ** 32, maxWindowBytes: 2 ** 32 - 1 }],
  ["maxWindowBytes", { initialWindowBytes: 1 << 20, maxWindowBytes: 1 << 19 }],
  ["openTimeoutMs", { openTimeoutMs: 0 }],
  ["openTimeoutMs", { openTimeoutMs: Number.NaN }],
  ["openTimeoutMs", { openTimeoutMs: 1.5 }],
  ["openTimeoutMs", { openTimeoutMs: "30s" }],
  ["finHoldMs", { finHoldMs: -1 }],
  ["keepAliveJitter", { keepAliveJitter: 1.5 }],
  ["maxWsMessageOutBytes", { maxWsMessageOutBytes: 65_549 }],
  ["wsLowWaterBytes", { wsLowWaterBytes: 300_000 }],
  ["overrunPolicy", { overrunPolicy: "ignore" }],
  ["hardWsMessageOut", { hardWsMessageOut: 1 }],
  ["initialWindow", { initialWindow: 262_144 }],
];

for (const [setting, partial] of wrong) {
  test(`${JSON.stringify(partial)} is refused by name`, () => {
    assert.throws(
      () => muxOptions(partial as Partial<MuxOptions>),
      (error) =>
        error instanceof ConfigError && error.problems.some((one) => one.setting === setting),
    );
  });
}

test("all problems are told at once", () => {
  assert.throws(
    () => muxOptions({ openTimeoutMs: 0, acceptBacklog: 0 }),
    (error) => error instanceof ConfigError && error.problems.length === 2,
  );
});
