import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { runStorm, type StormPlan, type StormResult } from "../../../../bench/support/storm.ts";
import { UNPINNED } from "../../../../bench/support/tools.ts";
import { compiledProgram } from "../../../support/bench-programs.ts";
import { skipWithout } from "../../../support/go.ts";

const withC = { skip: skipWithout("gcc"), timeout: 55_000 };

async function storm(t: TestContext, plan: Partial<StormPlan>): Promise<StormResult> {
  const device = await compiledProgram(t, "device");
  const whole = { relay: "hawser", devices: 1_000, end: "SIGKILL", live: false, ...plan } as const;
  return runStorm({ device, wrk: "", baseline: "", pinning: UNPINNED }, whole);
}

test(
  "storm: a fleet is back after its relay was killed, with few questions and others served meanwhile",
  withC,
  async (t) => {
    const { devices, halfMs, backMs, api, live } = await storm(t, {});
    assert.equal(devices, 1_000);
    assert.ok(halfMs <= backMs);
    assert.equal(live, null);
    assert.ok(api !== null);
    assert.ok(api.authorizeCalls <= 30, `${api.authorizeCalls} authorize calls`);
    // Reports gather for a second, or 500 of them.
    assert.ok(api.reportCalls <= 30, `${api.reportCalls} reports`);
    assert.ok(api.probes > 10);
    assert.equal(api.probeFailures, 0);
  },
);

test(
  "storm: a fleet is back after its relay was asked to stop, those that came too fast included",
  withC,
  async (t) => {
    const options = ["--handshakes-per-second-max=60"];
    const { refused, endMs, backMs } = await storm(t, { devices: 240, end: "SIGTERM", options });
    assert.ok(refused > 0, "nobody was refused");
    assert.ok(endMs > 0 && backMs > 0);
  },
);
