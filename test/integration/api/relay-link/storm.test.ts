import assert from "node:assert/strict";
import { test } from "node:test";
import { runStorm } from "../../../../bench/support/storm.ts";

test("storm: a fleet is back after its relay was killed, with few questions and others served meanwhile", async () => {
  const result = await runStorm(1_000);
  assert.equal(result.devices, 1_000);
  assert.ok(result.authorizeCalls <= 30, `${result.authorizeCalls} authorize calls`);
  // Reports gather for a second, or 500 of them.
  assert.ok(result.reportCalls <= 30, `${result.reportCalls} reports`);
  assert.ok(result.probes > 10);
  assert.equal(result.probeFailures, 0);
});
