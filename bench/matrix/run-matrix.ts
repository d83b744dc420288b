import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import autocannon from "autocannon";
import { startApiStack } from "../support/api-stack.ts";
import { type Child, startChild } from "../support/child.ts";
import { makeFleet } from "../support/fleet.ts";
import { VoidRun } from "../support/load.ts";
import { startRelay } from "../support/relays.ts";
import { UNPINNED, WORK_FOLDER } from "../support/tools.ts";
import type { Target } from "../support/verify.ts";
import type { DeviceLine } from "./devices.ts";
import {
  DEVICES_MAX,
  exchangeOf,
  prefixOf,
  type Scenario,
  scenarioName,
  WAYS,
} from "./scenario.ts";

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

/** Servers under load, and the devices behind them. */
interface Place {
  readonly target: Target;
  readonly deviceIds: readonly string[];
  /** @throws Error with the reason where a process has ended by itself */
  check(): void;
  stop(): Promise<void>;
}

/**
 * Loads servers of its own with each scenario in turn: a relay that has its credentials in a file, then an API server with its
 * relay. The devices are agents in one process.
 *
 * @param note told of each scenario that begins
 * @throws VoidRun on any error, timeout, status other than 200, or body that is not the right one
 */
export async function runMatrix(
  scenarios: readonly Scenario[],
  amount: Amount,
  note: (text: string) => void,
): Promise<readonly ScenarioResult[]> {
  const results: ScenarioResult[] = [];
  for (const way of WAYS) {
    const asked = scenarios.filter((scenario) => scenario.way === way);
    if (asked.length === 0) continue;
    const place = await (way === "edge" ? startEdge() : startApi());
    try {
      for (const scenario of asked) {
        note(`running ${scenarioName(scenario)}`);
        results.push(await runScenario(scenario, place.target, place.deviceIds, amount));
        place.check();
      }
    } finally {
      await place.stop();
    }
  }
  return results;
}

async function startEdge(): Promise<Place> {
  const fleet = makeFleet(WORK_FOLDER, "matrix", DEVICES_MAX);
  const { deviceIds, key, tokenTexts } = fleet;
  const relay = await startRelay("hawser", { baseline: "", pinning: UNPINNED }, fleet);
  const { port } = relay;
  let devices: Child | null = null;
  const stop = async (): Promise<void> => {
    await devices?.stop();
    await relay.stop();
    fleet.remove();
  };
  try {
    const lines = deviceIds.map((deviceId, at) => ({ deviceId, token: tokenTexts[at] ?? "" }));
    devices = await startDevices(port, lines);
  } catch (error) {
    await stop();
    throw error;
  }
  const check = (): void => {
    const failure = relay.child.failure ?? devices?.failure ?? null;
    if (failure !== null) throw new Error(failure);
  };
  return { target: { port, key }, deviceIds, check, stop };
}

async function startApi(): Promise<Place> {
  const { api, key, deviceId, check, stop } = await startApiStack(({ port, token, deviceId: id }) =>
    startDevices(port, [{ deviceId: id, token }]),
  );
  return { target: { port: api.port, key }, deviceIds: [deviceId], check, stop };
}

async function startDevices(port: number, lines: readonly DeviceLine[]): Promise<Child> {
  const file = join(WORK_FOLDER, "matrix-devices.json");
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
  let answered = 0;
  let right = 0;
  const requests = deviceIds.slice(0, scenario.devices).map((deviceId): autocannon.Request => {
    const { method, path, body, expected } = exchangeOf(scenario.request, deviceId);
    return {
      method,
      path: `${prefixOf(scenario.way, deviceId)}${path}`,
      headers: { authorization: `Bearer ${target.key}` },
      ...(body === null ? {} : { body }),
      onResponse(status, answer) {
        answered += 1;
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
  // A cut connection is dialled again without a word; a run for a time ends with a request on each one.
  const isCounted = "requests" in amount;
  const sent = isCounted ? amount.requests : result.requests.sent - scenario.connections;
  if (sent > answered) wrong.set("requests that were not answered", sent - answered);
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
