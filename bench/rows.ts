import { setTimeout as delay } from "node:timers/promises";
import { type Child, cpuSeconds, residentBytes } from "./support/child.ts";
import { type Fleet, makeFleet } from "./support/fleet.ts";
import { type BodyLoad, runBodies, runSmall, type Sample, VoidRun } from "./support/load.ts";
import { type RelayId, type RunningRelay, startDevice, startRelay } from "./support/relays.ts";
import { medians } from "./support/stats.ts";
import { type Tools, WORK_FOLDER } from "./support/tools.ts";
import { helloBytes, type Target, verify } from "./support/verify.ts";

/** The rows of a result, in the order in which they run. */
export const ROW_IDS = [
  "small_1dev_c128",
  "small_100dev_c128",
  "down_1",
  "up_1",
  "idle_rss",
] as const;
export type RowId = (typeof ROW_IDS)[number];

/** How long and how often. */
export interface Plan {
  readonly rounds: number;
  readonly warmSeconds: number;
  readonly loadSeconds: number;
  readonly downBytes: number;
  readonly upBytes: number;
  readonly idleTunnels: number;
  readonly idleRounds: number;
}

/** What a row needs from its run. */
export interface RowContext {
  readonly tools: Tools;
  readonly plan: Plan;
  readonly relayIds: readonly RelayId[];
  /** Told of each thing that a reader of the result should know. */
  readonly note: (text: string) => void;
}

/** The medians of a row's figures for each relay; `main` names the figure that the ratio is made of. */
export interface RowResult {
  readonly id: RowId;
  readonly unit: string;
  readonly main: string;
  readonly rounds: number;
  readonly figures: Readonly<Partial<Record<RelayId, Sample>>>;
}

/** Measures one row. @throws Error when a relay fails, or a run is void three times */
export function runRow(id: RowId, context: RowContext): Promise<RowResult> {
  switch (id) {
    case "small_1dev_c128":
      return smallRow(id, context, 1);
    case "small_100dev_c128":
      return smallRow(id, context, 100);
    case "down_1":
      return bodyRow(id, context, "down", context.plan.downBytes);
    case "up_1":
      return bodyRow(id, context, "up", context.plan.upBytes);
    case "idle_rss":
      return idleRow(id, context);
  }
}

const CONNECTIONS = 128;
/** A load that another one beats by more than this was not the pair's limit. */
const REACH_TOLERANCE = 0.1;
const ATTEMPTS = 3;

/** One relay with its device, ready for load. */
interface Contestant {
  readonly relay: RunningRelay;
  readonly device: Child;
  readonly target: Target;
}

async function smallRow(id: RowId, context: RowContext, deviceCount: number): Promise<RowResult> {
  const { tools, plan } = context;
  const fleet = makeFleet(WORK_FOLDER, id, deviceCount);
  const { deviceIds } = fleet;
  const answerBytes = new Map<RelayId, number>();
  const load = async (to: Contestant, connections: number, seconds: number): Promise<Sample> => {
    const bytes = answerBytes.get(to.relay.id) ?? (await helloBytes(to.target, deviceIds[0] ?? ""));
    answerBytes.set(to.relay.id, bytes);
    return runSmall(tools, to.relay, to.target, {
      deviceIds,
      connections,
      seconds,
      answerBytes: bytes,
    });
  };
  return withContestants(context, fleet, async (contestants) => {
    const figures = await interleaved(context, contestants, (to, seconds) =>
      load(to, CONNECTIONS, seconds),
    );
    for (const to of contestants) {
      const beyond = await load(to, 2 * CONNECTIONS, plan.loadSeconds);
      const reached = figures[to.relay.id]?.["rps"] ?? 0;
      const reach = reached / Math.max(reached, beyond["rps"] ?? 0);
      figures[to.relay.id] = { ...figures[to.relay.id], reach };
      if (reach < 1 - REACH_TOLERANCE) {
        context.note(`${id}: ${to.relay.id} reaches more with ${2 * CONNECTIONS} connections`);
      }
    }
    return { id, unit: "CPU µs per request", main: "cpuUs", rounds: plan.rounds, figures };
  });
}

async function bodyRow(
  id: RowId,
  context: RowContext,
  mode: BodyLoad["mode"],
  bodyBytes: number,
): Promise<RowResult> {
  const fleet = makeFleet(WORK_FOLDER, id, 1);
  const deviceId = fleet.deviceIds[0] ?? "";
  return withContestants(context, fleet, async (contestants) => {
    const figures = await interleaved(context, contestants, (to, seconds) =>
      runBodies(context.tools, to.relay, to.target, { deviceId, mode, bodyBytes, seconds }),
    );
    const { rounds } = context.plan;
    return { id, unit: "CPU s per GiB", main: "cpuSPerGiB", rounds, figures };
  });
}

/** Starts every relay with a device of its own, verifies them before and after, and ends them in any case. */
async function withContestants(
  context: RowContext,
  fleet: Fleet,
  measure: (contestants: readonly Contestant[]) => Promise<RowResult>,
): Promise<RowResult> {
  const contestants: Contestant[] = [];
  const relays: RunningRelay[] = [];
  try {
    for (const relayId of context.relayIds) {
      const relay = await startRelay(relayId, context.tools, fleet);
      relays.push(relay);
      const { tokensFile, deviceIds } = fleet;
      const device = await startDevice(context.tools, relay, tokensFile, deviceIds.length);
      contestants.push({ relay, device, target: { port: relay.port, key: fleet.key } });
    }
    const verifyAll = async (): Promise<void> => {
      for (const { relay, device, target } of contestants) {
        await verify(target, fleet.deviceIds).catch((error: unknown) => {
          throw new Error(`${relay.id} fails verification`, { cause: error });
        });
        const failure = relay.child.failure ?? device.failure;
        if (failure !== null) throw new Error(failure);
      }
    };
    await verifyAll();
    const result = await measure(contestants);
    await verifyAll();
    return result;
  } finally {
    for (const { device } of contestants) await device.stop();
    for (const relay of relays) await relay.stop();
  }
}

/** Warms every relay up, then measures them in turn, round by round; the medians of each. */
async function interleaved(
  context: RowContext,
  contestants: readonly Contestant[],
  run: (to: Contestant, seconds: number) => Promise<Sample>,
): Promise<Partial<Record<RelayId, Sample>>> {
  const { plan } = context;
  const samples = new Map<RelayId, Sample[]>();
  for (const to of contestants) {
    samples.set(to.relay.id, []);
    await run(to, plan.warmSeconds);
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const to of contestants) {
      samples.get(to.relay.id)?.push(await attempt(context, () => run(to, plan.loadSeconds)));
    }
  }
  const figures: Partial<Record<RelayId, Sample>> = {};
  for (const [relayId, taken] of samples) figures[relayId] = medians(taken);
  return figures;
}

/** Repeats a void run, up to three times in all. */
async function attempt<T>(context: RowContext, run: () => Promise<T>): Promise<T> {
  for (let count = 1; ; count++) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof VoidRun) || count === ATTEMPTS) throw error;
      context.note(`void run, repeated: ${error.message}`);
    }
  }
}

/** Tunnels that are up and serve requests before the first reading: what they bring is not charged to the others. */
const IDLE_WARM_TUNNELS = 500;
/** How many of the idle tunnels must answer a request in the end. */
const IDLE_CHECKED = 20;

async function idleRow(id: RowId, context: RowContext): Promise<RowResult> {
  const { plan } = context;
  const fleet = makeFleet(WORK_FOLDER, id, IDLE_WARM_TUNNELS + plan.idleTunnels);
  const samples = new Map<RelayId, Sample[]>(context.relayIds.map((relayId) => [relayId, []]));
  for (let round = 0; round < plan.idleRounds; round++) {
    for (const [relayId, sample] of await idleRound(context, fleet)) {
      samples.get(relayId)?.push(sample);
    }
  }
  const figures: Partial<Record<RelayId, Sample>> = {};
  for (const [relayId, taken] of samples) figures[relayId] = medians(taken);
  const { idleRounds } = plan;
  return { id, unit: "bytes per idle tunnel", main: "rssBytes", rounds: idleRounds, figures };
}

/** A relay while its idle tunnels are measured. */
interface IdleContestant extends Contestant {
  readonly devices: Child[];
  bytesBefore: number;
  connectSeconds: number;
}

/** One reading of every relay. They wait together: idle relays do not disturb each other. */
async function idleRound(
  context: RowContext,
  fleet: Fleet,
): Promise<readonly (readonly [RelayId, Sample])[]> {
  const { tools, plan } = context;
  const { tokensFile, deviceIds, key } = fleet;
  const relays: RunningRelay[] = [];
  const contestants: IdleContestant[] = [];
  try {
    for (const relayId of context.relayIds) {
      const relay = await startRelay(relayId, tools, fleet);
      relays.push(relay);
      const device = await startDevice(tools, relay, tokensFile, IDLE_WARM_TUNNELS);
      const target: Target = { port: relay.port, key };
      const to = { relay, device, target, devices: [device], bytesBefore: 0, connectSeconds: 0 };
      contestants.push(to);
      await warmIdle(context, to, deviceIds.slice(0, IDLE_WARM_TUNNELS));
    }
    await eachAtOnce(contestants, async (to) => {
      to.bytesBefore = await settledBytes(to.relay.pid);
    });
    for (const to of contestants) {
      const { pid } = to.relay;
      const before = cpuSeconds(pid);
      const { idleTunnels } = plan;
      to.devices.push(
        await startDevice(tools, to.relay, tokensFile, idleTunnels, IDLE_WARM_TUNNELS),
      );
      to.connectSeconds = cpuSeconds(pid) - before;
    }
    return await eachAtOnce(contestants, async (to) => {
      const bytes = await settledBytes(to.relay.pid);
      await verify(to.target, deviceIds.slice(-IDLE_CHECKED));
      for (const child of [to.relay.child, ...to.devices]) {
        if (child.failure !== null) throw new Error(child.failure);
      }
      const rssBytes = (bytes - to.bytesBefore) / plan.idleTunnels;
      const connectCpuUs = (to.connectSeconds * 1e6) / plan.idleTunnels;
      return [to.relay.id, { rssBytes, connectCpuUs }] as const;
    });
  } finally {
    for (const { devices } of contestants) for (const device of devices) await device.stop();
    for (const relay of relays) await relay.stop();
  }
}

/** Small requests over the first tunnels, so that the heap has the size that serving gives it. */
async function warmIdle(
  context: RowContext,
  to: Contestant,
  deviceIds: readonly string[],
): Promise<void> {
  await verify(to.target, deviceIds.slice(0, 1));
  const answerBytes = await helloBytes(to.target, deviceIds[0] ?? "");
  const { warmSeconds } = context.plan;
  const load = { deviceIds, connections: CONNECTIONS, seconds: warmSeconds, answerBytes };
  await attempt(context, () => runSmall(context.tools, to.relay, to.target, load));
}

function eachAtOnce<From, To>(
  items: readonly From[],
  work: (item: From) => Promise<To>,
): Promise<To[]> {
  return Promise.all(items.map(work));
}

const SETTLE_STEP_MS = 1_000;
const SETTLE_STEPS_MIN = 4;
const SETTLE_STEPS_MAX = 15;
const SETTLED_CHANGE = 0.002;

/** Resident bytes once they have changed by less than 0.2 % for a second, four seconds after the call at the earliest. */
async function settledBytes(pid: number): Promise<number> {
  let last = residentBytes(pid);
  for (let step = 1; ; step++) {
    await delay(SETTLE_STEP_MS);
    const now = residentBytes(pid);
    const still = Math.abs(now / last - 1) < SETTLED_CHANGE;
    if ((still && step >= SETTLE_STEPS_MIN) || step === SETTLE_STEPS_MAX) return now;
    last = now;
  }
}
