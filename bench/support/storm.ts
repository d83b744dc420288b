import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Child, cpuSeconds } from "./child.ts";
import { type Fleet, makeFleet } from "./fleet.ts";
import { type FleetApi, startFleetApi } from "./fleet-api.ts";
import { type LiveTraffic, startLive } from "./live.ts";
import type { Sample } from "./load.ts";
import {
  type RelayId,
  type RelaySetup,
  type RunningRelay,
  spawnDeviceProgram,
  startRelay,
} from "./relays.ts";
import { makeWorkFolder, type Tools } from "./tools.ts";
import { helloEach, type Target, verify } from "./verify.ts";

/** The programs of a storm: wrk for live traffic alone, the baseline for the Go relays alone. */
export type StormTools = Pick<Tools, "baseline" | "device" | "wrk" | "pinning">;

/** A relay, its fleet, and the way in which the relay ends. */
export interface StormPlan {
  /** Hawser's asks an API server about every token; the Go relays look into a table of their own. */
  readonly relay: RelayId;
  /** At least 20. */
  readonly devices: number;
  /** How the relay is ended before it is started again. */
  readonly end: "SIGKILL" | "SIGTERM";
  /** Small requests through devices that are back, from when half of all are. Needs wrk. */
  readonly live: boolean;
  /** For how long the quiet relay is measured, after a rest of half of that; default 4 s. */
  readonly quietMs?: number;
  /** More options of Hawser's relay. */
  readonly options?: readonly string[];
  /** Told of each step, for whoever waits. */
  readonly note?: (text: string) => void;
}

/** What a fleet that comes back at once costs. Times in milliseconds. */
export interface StormResult {
  readonly relay: RelayId;
  readonly devices: number;
  /** From the signal to the end of the old process. */
  readonly endMs: number;
  /** From the start of the new relay process until half of the devices had their tunnels again, and all. */
  readonly halfMs: number;
  readonly backMs: number;
  /** Handshakes that were refused for the moment meanwhile. */
  readonly refused: number;
  /** CPU of the new relay process, its start included. */
  readonly relayCpuMs: number;
  /** Latency of live traffic from half to all, and on the same relay once all is quiet. */
  readonly live: { readonly storm: Sample; readonly quiet: Sample } | null;
  /** What it was for the API server; null for a relay without one. */
  readonly api: ApiShare | null;
}

/** What a storm was for the API server and its other callers. */
export interface ApiShare {
  /** Until it knew of every tunnel. */
  readonly notedMs: number;
  readonly authorizeCalls: number;
  readonly reportCalls: number;
  /** CPU of the API server's process, the probing included. */
  readonly cpuMs: number;
  /** Of calls to the API server meanwhile, each of which reads the database. */
  readonly probes: number;
  readonly probeP50Ms: number;
  readonly probeP99Ms: number;
  readonly probeMaxMs: number;
  /** Probes that were not answered 200. */
  readonly probeFailures: number;
}

/** The ceiling of a device's pause between dials. */
const RETRY_MS = 2_000;
/** Those that live traffic goes to dial again at once, so that they are back before half of the others are. */
const LIVE_RETRY_MS = 50;
const LIVE_DEVICES_MAX = 100;
/** Where all are back sooner, the traffic goes on for as long: a percentile wants some hundred requests. */
const LIVE_LEAST_MS = 1_000;
const LIMIT_MS = 120_000;
const PROBE_EVERY_MS = 20;
const QUIET_MS = 4_000;

/**
 * A relay process with connected devices is ended and started again on the same ports; the time until all are back is taken. The
 * API server of Hawser's relay is in this process and serves others meanwhile.
 *
 * @throws Error when not all of them come back in time; VoidRun when a live request failed
 */
export async function runStorm(tools: StormTools, plan: StormPlan): Promise<StormResult> {
  makeWorkFolder();
  const folder = mkdtempSync(join(tmpdir(), "hawser-storm-"));
  const storm = new Storm(tools, plan, folder);
  try {
    return await storm.run();
  } finally {
    await storm.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

class Storm {
  readonly #tools: StormTools;
  readonly #plan: StormPlan;
  readonly #folder: string;
  readonly #fleet: Fleet;
  readonly #closing: (() => Promise<void>)[] = [];

  constructor(tools: StormTools, plan: StormPlan, folder: string) {
    this.#tools = tools;
    this.#plan = plan;
    this.#folder = folder;
    this.#fleet = makeFleet(folder, "storm", plan.devices);
  }

  async run(): Promise<StormResult> {
    const { relay: id, devices: count, options = [], note = () => {} } = this.#plan;
    note(`${id}: ${count} devices connect`);
    const api = id === "hawser" ? await startFleetApi(this.#folder, this.#fleet) : null;
    if (api !== null) this.#closing.push(() => api.close());
    const setup: RelaySetup = api === null ? {} : { gate: api.gate, options };
    const first = await this.#startRelay(setup);
    const { ports } = first;
    const liveCount = Math.min(LIVE_DEVICES_MAX, Math.floor(count / 10));
    const live = this.#dial(ports.edge, liveCount, 0, LIVE_RETRY_MS);
    const others = this.#dial(ports.edge, count - liveCount, liveCount, RETRY_MS);
    const milestone = (name: string, devices: readonly Child[]): Promise<string[]> =>
      inTime(Promise.all(devices.map((each) => each.line(`${name} `))), name);
    await milestone("back 1", [live, others]);
    if (api !== null) await until(() => api.noted >= count, "the reports of all tunnels");

    const before = this.#apiCounts(api);
    const probe = api === null ? null : startProbe(api.probeUrl);
    if (probe !== null) this.#closing.push(async () => void (await probe.stop()));
    note(`${id}: ${this.#plan.end} to the relay, and a new one`);
    const endMs = await this.#endRelay(first);
    const startedAt = performance.now();
    const sinceStart = (): number => performance.now() - startedAt;
    const again = this.#startRelay({ ...setup, ports });
    const back = milestone("back 2", [live, others]).then(async (lines) => {
      return { lines, ms: sinceStart(), cpu: cpuSeconds((await again).pid) };
    });
    back.catch(() => {});
    const half = milestone("half 2", [others]).then(sinceStart);
    half.catch(() => {});
    const relay = await again;
    await milestone("back 2", [live]);
    const target = { port: relay.port, key: this.#fleet.key };
    const liveIds = this.#fleet.deviceIds.slice(0, liveCount);
    // A key is unknown to the new relay until its first use has been answered for: that is not what is measured.
    await helloEach(target, liveIds);
    const halfMs = await half;
    const traffic = this.#plan.live ? this.#startLive(target, liveIds) : null;
    const leastMs = traffic === null ? 0 : LIVE_LEAST_MS;
    const [{ lines, ms: backMs, cpu }] = await Promise.all([back, delay(leastMs)]);
    note(`${id}: all are back after ${(backMs / 1_000).toFixed(1)} s`);
    const stormSample = traffic === null ? null : await traffic.stop();
    const share =
      api === null || probe === null ? null : await this.#share(api, before, probe, sinceStart);
    await verify(target, this.#fleet.deviceIds.slice(0, 20));
    for (const child of [relay.child, live, others]) {
      if (child.failure !== null) throw new Error(child.failure);
    }
    return {
      relay: id,
      devices: count,
      endMs: Math.round(endMs),
      halfMs: Math.round(halfMs),
      backMs: Math.round(backMs),
      refused: lines.reduce((sum, line) => sum + Number(line.split(" ")[2]), 0),
      relayCpuMs: Math.round(1_000 * cpu),
      live:
        stormSample === null
          ? null
          : { storm: stormSample, quiet: await this.#quietSample(target, liveIds) },
      api: share,
    };
  }

  async end(): Promise<void> {
    for (const close of this.#closing.splice(0).reverse()) await close();
  }

  async #startRelay(setup: RelaySetup): Promise<RunningRelay> {
    const relay = await startRelay(this.#plan.relay, this.#tools, this.#fleet, setup);
    this.#closing.push(() => relay.stop());
    return relay;
  }

  #dial(port: number, count: number, skip: number, retryMs: number): Child {
    const { tokensFile } = this.#fleet;
    const { device, pinning } = this.#tools;
    const spec = { relay: { port }, tokensFile, count, skip, retryMs, cores: pinning.load };
    const child = spawnDeviceProgram(device, spec);
    this.#closing.push(() => child.stop());
    return child;
  }

  #startLive(target: Target, deviceIds: readonly string[]): LiveTraffic {
    const traffic = startLive(this.#tools, target, deviceIds);
    this.#closing.push(() => traffic.abandon());
    return traffic;
  }

  /** Ends the relay's process, and takes the time. */
  async #endRelay(relay: RunningRelay): Promise<number> {
    const startedAt = performance.now();
    process.kill(relay.pid, this.#plan.end);
    await inTime(relay.child.ended, "the end of the relay");
    await relay.stop();
    return performance.now() - startedAt;
  }

  #apiCounts(api: FleetApi | null): ApiCounts {
    const { authorize = 0, reports = 0 } = api?.calls ?? {};
    return { authorize, reports, noted: api?.noted ?? 0, cpu: cpuSeconds(process.pid) };
  }

  async #share(
    api: FleetApi,
    before: ApiCounts,
    probe: Probe,
    sinceStart: () => number,
  ): Promise<ApiShare> {
    const authorizeCalls = api.calls.authorize - before.authorize;
    await until(() => api.noted - before.noted >= this.#plan.devices, "the reports of all tunnels");
    const notedMs = sinceStart();
    const latencies = (await probe.stop()).sort((one, other) => one - other);
    const at = (share: number): number => {
      const index = Math.min(latencies.length - 1, Math.floor(share * latencies.length));
      return Math.round(10 * (latencies[index] ?? 0)) / 10;
    };
    return {
      notedMs: Math.round(notedMs),
      authorizeCalls,
      reportCalls: api.calls.reports - before.reports,
      cpuMs: Math.round(1_000 * (cpuSeconds(process.pid) - before.cpu)),
      probes: latencies.length,
      probeP50Ms: at(0.5),
      probeP99Ms: at(0.99),
      probeMaxMs: at(1),
      probeFailures: probe.failures(),
    };
  }

  async #quietSample(target: Target, deviceIds: readonly string[]): Promise<Sample> {
    const { quietMs = QUIET_MS } = this.#plan;
    await delay(quietMs / 2);
    const traffic = this.#startLive(target, deviceIds);
    await delay(quietMs);
    return traffic.stop();
  }
}

/** What has come to the API server's process so far. */
interface ApiCounts {
  readonly authorize: number;
  readonly reports: number;
  readonly noted: number;
  /** Seconds. */
  readonly cpu: number;
}

interface Probe {
  /** Ends it; latencies in milliseconds. Safe to call twice. */
  stop(): Promise<number[]>;
  failures(): number;
}

/** Calls an address again and again, and takes the time. */
function startProbe(url: string): Probe {
  const latencies: number[] = [];
  let failures = 0;
  let isOver = false;
  const loop = (async () => {
    while (!isOver) {
      const startedAt = performance.now();
      const answer = await fetch(url).catch(() => null);
      await answer?.text();
      latencies.push(performance.now() - startedAt);
      if (answer?.status !== 200) failures += 1;
      await delay(PROBE_EVERY_MS);
    }
  })();
  const stop = async (): Promise<number[]> => {
    isOver = true;
    await loop;
    return latencies;
  };
  return { stop, failures: () => failures };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const startedAt = performance.now();
  while (!condition()) {
    if (performance.now() - startedAt > LIMIT_MS) throw new Error(`never came: ${what}`);
    await delay(20);
  }
}

async function inTime<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`never came: ${what}`)), LIMIT_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
