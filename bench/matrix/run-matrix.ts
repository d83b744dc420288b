import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import autocannon from "autocannon";
import { type Child, startChild } from "../support/child.ts";
import { makeFleet } from "../support/fleet.ts";
import { VoidRun } from "../support/load.ts";
import { startRelay } from "../support/relays.ts";
import { UNPINNED, WORK_FOLDER } from "../support/tools.ts";
import type { Target } from "../support/verify.ts";
import type { DeviceLine } from "./devices.ts";
import { DEVICES_MAX, exchangeOf, type Scenario, scenarioName } from "./scenario.ts";

/** What one scenario gave. Latencies in milliseconds, which autocannon counts whole. */
export interface ScenarioResult {
  readonly scenario: string;
  readonly requests: number;
  readonly rps: number;
  readonly mibPerS: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** How long each scenario is loaded: for a time, or for a number of requests. */
export type Amount = { readonly seconds: number } | { readonly requests: number };

const TIMEOUT_S = 10;

/**
 * Loads a relay of its own with each scenario in turn; its devices are agents in one process.
 *
 * @param note told of each scenario that begins
 * @throws VoidRun on any error, timeout, status other than 200, or body that is not the right one
 */
export async function runMatrix(
  scenarios: readonly Scenario[],
  amount: Amount,
  note: (text: string) => void,
): Promise<readonly ScenarioResult[]> {
  const fleet = makeFleet(WORK_FOLDER, "matrix", DEVICES_MAX);
  const { deviceIds, key } = fleet;
  const relay = await startRelay("hawser", { baseline: "", pinning: UNPINNED }, fleet);
  let devices: Child | null = null;
  try {
    devices = await startDevices(relay.port, deviceIds, fleet.tokenTexts);
    const target = { port: relay.port, key };
    const results: ScenarioResult[] = [];
    for (const scenario of scenarios) {
      note(`running ${scenarioName(scenario)}`);
      results.push(await runScenario(scenario, target, deviceIds, amount));
      const failure = relay.child.failure ?? devices.failure;
      if (failure !== null) throw new Error(failure);
    }
    return results;
  } finally {
    await devices?.stop();
    await relay.stop();
    fleet.remove();
  }
}

async function startDevices(
  port: number,
  deviceIds: readonly string[],
  tokens: readonly string[],
): Promise<Child> {
  const file = join(WORK_FOLDER, "matrix-devices.json");
  const lines = deviceIds.map(
    (deviceId, at): DeviceLine => ({ deviceId, token: tokens[at] ?? "" }),
  );
  writeFileSync(file, JSON.stringify(lines), { mode: 0o600 });
  const child = startChild({
    name: "devices",
    command: process.execPath,
    args: [fileURLToPath(new URL("devices.js", import.meta.url)), String(port), file],
    endBy: "stdin",
  });
  try {
    await child.line("ready ");
    return child;
  } finally {
    rmSync(file, { force: true });
  }
}

/**
 * One scenario: each connection asks the devices in turn, one request after another.
 *
 * @throws VoidRun as {@link runMatrix}
 */
export async function runScenario(
  scenario: Scenario,
  target: Target,
  deviceIds: readonly string[],
  amount: Amount,
): Promise<ScenarioResult> {
  const wrong = new Map<string, number>();
  let right = 0;
  const requests = deviceIds.slice(0, scenario.devices).map((deviceId): autocannon.Request => {
    const { method, path, body, expected } = exchangeOf(scenario.request, deviceId);
    return {
      method,
      path: `/d/${deviceId}${path}`,
      headers: { authorization: `Bearer ${target.key}` },
      ...(body === null ? {} : { body }),
      onResponse(status, answer) {
        if (status === 200 && answer === expected) right += 1;
        else
          count(wrong, status === 200 ? "bodies that are not the right one" : `status ${status}`);
      },
    };
  });
  const result = await autocannon({
    url: `http://127.0.0.1:${target.port}`,
    connections: scenario.connections,
    timeout: TIMEOUT_S,
    requests,
    ...("seconds" in amount ? { duration: amount.seconds } : { amount: amount.requests }),
  });
  if (result.errors > 0) wrong.set("errors", result.errors);
  if (result.timeouts > 0) wrong.set("timeouts", result.timeouts);
  if (result.non2xx > 0) wrong.set("status other than 2xx", result.non2xx);
  if (wrong.size > 0 || right === 0) {
    const found = [...wrong].map(([what, times]) => `${times} ${what}`).join(", ");
    throw new VoidRun(`${scenarioName(scenario)}: ${found || "no request was answered"}`);
  }
  return {
    scenario: scenarioName(scenario),
    requests: right,
    rps: right / result.duration,
    mibPerS: result.throughput.total / 2 ** 20 / result.duration,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    maxMs: result.latency.max,
  };
}

function count(of: Map<string, number>, what: string): void {
  of.set(what, (of.get(what) ?? 0) + 1);
}
