import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { runStorm, type StormPlan, type StormResult } from "../../../../bench/support/storm.ts";
import { UNPINNED } from "../../../../bench/support/tools.ts";
import { compiledProgram } from "../../../support/bench-programs.ts";
import { findProgram, skipWithout } from "../../../support/go.ts";
import { childrenOf } from "../../../support/process/children.ts";
import { temporaryFolder } from "../../../support/relay/start-relay.ts";

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

/** A device program that ends as soon as it has told a line that begins with `last`, where `word` is among its arguments. */
async function endingAfter(t: TestContext, last: string, word: string): Promise<string> {
  const real = await compiledProgram(t, "device");
  const program = join(await temporaryFolder(t), "ending-device.cjs");
  const script = `#!${process.execPath}
const words = process.argv.slice(2);
const stdio = ["inherit", "pipe", "inherit"];
const device = require("node:child_process").spawn(${JSON.stringify(real)}, words, { stdio });
require("node:readline").createInterface({ input: device.stdout }).on("line", (line) => {
  if (device.killed) return;
  process.stdout.write(line + "\\n");
  if (words.includes("${word}") && line.startsWith("${last}")) device.kill("SIGKILL");
});
device.on("close", () => process.exit(3));
`;
  writeFileSync(program, script, { mode: 0o700 });
  return program;
}

test("storm: live traffic ends with a storm that fails", {
  skip: skipWithout("gcc", "wrk"),
  timeout: 55_000,
}, async (t) => {
  // Those that dial again after 2 s at most are the fleet; the others are those that traffic goes to.
  const device = await endingAfter(t, "half 2", "2000");
  const tools = { device, wrk: findProgram("wrk") ?? "", baseline: "", pinning: UNPINNED };
  const plan = { relay: "hawser", devices: 100, end: "SIGKILL", live: true } as const;
  await assert.rejects(runStorm(tools, plan), /^Error: device ended \(exit code 3\)/);
  const left = childrenOf(process.pid).filter(({ command }) => command.includes("wrk"));
  for (const { pid } of left) process.kill(pid, "SIGKILL");
  assert.deepEqual(left, []);
});
