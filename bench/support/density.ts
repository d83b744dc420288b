import { setTimeout as delay } from "node:timers/promises";
import { lendPort } from "../../test/support/ports.ts";
import { settledBytes, warmIdle } from "../rows/idle.ts";
import type { RowContext } from "../rows/row.ts";
import { type Child, cpuSeconds } from "./child.ts";
import { type Fleet, makeFleet } from "./fleet.ts";
import { inspectorAt, liveHeapBytes } from "./heap.ts";
import {
  type RelayId,
  type RunningRelay,
  spawnDeviceProgram,
  startDevice,
  startRelay,
} from "./relays.ts";
import { runStorm, type StormResult } from "./storm.ts";
import { WORK_FOLDER } from "./tools.ts";
import { helloEach, type Target } from "./verify.ts";

/** How large a fleet, and for how long it is watched. */
export interface DensityPlan {
  /** Beside `warmDevices`. */
  readonly devices: number;
  /** Connected and in use before the first reading: what they bring is not charged to the others. */
  readonly warmDevices: number;
  readonly idleSeconds: number;
  /** Between two looks at resident memory until it is still, and how long a quiet relay is measured; a second and 4 s. */
  readonly settleStepMs?: number;
  readonly quietMs?: number;
}

/** What a relay spends on tunnels that do nothing, a tunnel or a connect each. */
export interface IdleFigures {
  readonly rssBytes: number;
  /** Of the whole process before the fleet came, once it has served. */
  readonly baseBytes: number;
  /** Live objects after a garbage collection; null for a relay that is no Node process. */
  readonly heapBytes: number | null;
  /** Of one core, by the whole fleet with its pings. */
  readonly idleCpuShare: number;
  readonly connectsPerS: number;
  readonly connectCpuUs: number;
}

/** A fleet on one relay. */
export interface DensityFigures {
  readonly idle: IdleFigures;
  /** After SIGKILL, and after SIGTERM, which is null for a relay that does not drain. */
  readonly killed: StormResult;
  readonly drained: StormResult | null;
}

/** What a density run measures. */
export type DensityResult = Readonly<Partial<Record<RelayId, DensityFigures>>>;

/** More handshakes a second than any process here sends: connects a second are those of the relay, not of its limit. */
const UNLIMITED = ["--handshakes-per-second-max=1000000"];
const DIALS_PER_SECOND = 1_000_000;
const CHECKED = 20;

/**
 * Measures an idle fleet on every relay, side by side, then lets the fleet come back after the relay's end, in turn.
 *
 * @throws Error when a process fails or a device is not reached in the end
 */
export async function runDensity(context: RowContext, plan: DensityPlan): Promise<DensityResult> {
  const idle = await idleFigures(context, plan);
  const result: Partial<Record<RelayId, DensityFigures>> = {};
  const { devices, quietMs } = plan;
  const quiet = quietMs === undefined ? {} : { quietMs };
  for (const relay of context.relayIds) {
    const storm = (end: "SIGKILL" | "SIGTERM"): Promise<StormResult> => {
      const { note } = context;
      return runStorm(context.tools, { relay, devices, end, live: true, note, ...quiet });
    };
    const of = idle.get(relay);
    if (of === undefined) throw new Error(`nothing was measured of ${relay}`);
    const killed = await storm("SIGKILL");
    const drained = relay === "hawser" ? await storm("SIGTERM") : null;
    result[relay] = { idle: of, killed, drained };
  }
  return result;
}

/** A relay while its idle fleet is measured. */
interface Host {
  readonly relay: RunningRelay;
  readonly inspectorPort: number;
  readonly target: Target;
  readonly devices: Child[];
}

async function idleFigures(
  context: RowContext,
  plan: DensityPlan,
): Promise<ReadonlyMap<RelayId, IdleFigures>> {
  const fleet = makeFleet(WORK_FOLDER, "density", plan.warmDevices + plan.devices);
  const hosts: Host[] = [];
  try {
    for (const id of context.relayIds) {
      context.note(`${id}: starts, and serves ${plan.warmDevices} devices`);
      hosts.push(await startHost(context, plan, fleet, id));
    }
    const before = await eachAtOnce(hosts, ({ relay }) =>
      settledBytes(relay.pid, plan.settleStepMs),
    );
    const connects: Pick<IdleFigures, "connectsPerS" | "connectCpuUs">[] = [];
    for (const host of hosts) {
      context.note(`${host.relay.id}: ${plan.devices} devices connect`);
      connects.push(await connectAll(context, plan, fleet, host));
    }
    const after = await eachAtOnce(hosts, ({ relay }) =>
      settledBytes(relay.pid, plan.settleStepMs),
    );
    context.note(`the fleets are idle for ${plan.idleSeconds} s`);
    const shares = await eachAtOnce(hosts, async ({ relay }) => {
      const spent = cpuSeconds(relay.pid);
      const startedAt = performance.now();
      await delay(1_000 * plan.idleSeconds);
      return (cpuSeconds(relay.pid) - spent) / ((performance.now() - startedAt) / 1_000);
    });
    const figures = new Map<RelayId, IdleFigures>();
    for (const [at, host] of hosts.entries()) {
      await helloEach(host.target, fleet.deviceIds.slice(-CHECKED));
      for (const { failure } of [host.relay.child, ...host.devices]) {
        if (failure !== null) throw new Error(failure);
      }
      figures.set(host.relay.id, {
        rssBytes: ((after[at] ?? 0) - (before[at] ?? 0)) / plan.devices,
        baseBytes: before[at] ?? 0,
        heapBytes: await heapPerTunnel(plan, host),
        idleCpuShare: shares[at] ?? Number.NaN,
        connectsPerS: connects[at]?.connectsPerS ?? Number.NaN,
        connectCpuUs: connects[at]?.connectCpuUs ?? Number.NaN,
      });
    }
    return figures;
  } finally {
    for (const { devices } of hosts) for (const child of devices) await child.stop();
    for (const { relay } of hosts) await relay.stop();
    fleet.remove();
  }
}

async function startHost(
  context: RowContext,
  plan: DensityPlan,
  fleet: Fleet,
  id: RelayId,
): Promise<Host> {
  const inspectorPort = await lendPort();
  const environment = id === "hawser" ? inspectorAt(inspectorPort) : {};
  const relay = await startRelay(id, context.tools, fleet, { options: UNLIMITED, environment });
  const target = { port: relay.port, key: fleet.key };
  const { tokensFile, deviceIds } = fleet;
  const count = plan.warmDevices;
  const host = { relay, inspectorPort, target, devices: [] as Child[] };
  try {
    host.devices.push(await startDevice(context.tools, relay, tokensFile, count));
    await warmIdle(context, host, deviceIds.slice(0, count));
    return host;
  } catch (error) {
    for (const child of host.devices) await child.stop();
    await relay.stop();
    throw error;
  }
}

async function connectAll(
  context: RowContext,
  plan: DensityPlan,
  fleet: Fleet,
  host: Host,
): Promise<Pick<IdleFigures, "connectsPerS" | "connectCpuUs">> {
  const { pid } = host.relay;
  const { device, pinning } = context.tools;
  const before = cpuSeconds(pid);
  const startedAt = performance.now();
  const devices = spawnDeviceProgram(device, {
    relay: host.relay,
    tokensFile: fleet.tokensFile,
    count: plan.devices,
    skip: plan.warmDevices,
    rate: DIALS_PER_SECOND,
    cores: pinning.load,
  });
  host.devices.push(devices);
  await devices.line("ready ");
  const seconds = (performance.now() - startedAt) / 1_000;
  return {
    connectsPerS: plan.devices / seconds,
    connectCpuUs: (1e6 * (cpuSeconds(pid) - before)) / plan.devices,
  };
}

/** The live heap with the fleet and without it. Ends the fleet. */
async function heapPerTunnel(plan: DensityPlan, host: Host): Promise<number | null> {
  const { relay, inspectorPort, devices } = host;
  if (relay.id !== "hawser") return null;
  const full = await liveHeapBytes(relay.pid, inspectorPort);
  await devices.pop()?.stop();
  // The relay has seen the end of each tunnel once its answers to the others are what they were.
  await settledBytes(relay.pid, plan.settleStepMs);
  return (full - (await liveHeapBytes(relay.pid, inspectorPort))) / plan.devices;
}

function eachAtOnce<From, To>(
  items: readonly From[],
  work: (item: From) => Promise<To>,
): Promise<To[]> {
  return Promise.all(items.map(work));
}
