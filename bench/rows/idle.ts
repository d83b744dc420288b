import { setTimeout as delay } from "node:timers/promises";
import { type Child, cpuSeconds, residentBytes } from "../support/child.ts";
import { type Fleet, makeFleet } from "../support/fleet.ts";
import { runSmall, type Sample } from "../support/load.ts";
import { type RelayId, type RunningRelay, startDevice, startRelay } from "../support/relays.ts";
import { WORK_FOLDER } from "../support/tools.ts";
import { helloBytes, type Target, verify } from "../support/verify.ts";
import { attempt, type Contestant } from "./contestants.ts";
import type { Family, RowContext, RowResult } from "./row.ts";
import type { RowId } from "./table.ts";

/** Tunnels that are up and serve requests before the first reading: what they bring is not charged to the others. */
const IDLE_WARM_TUNNELS = 500;
/** How many of the idle tunnels must answer a request in the end. */
const IDLE_CHECKED = 20;
const WARM_CONNECTIONS = 128;

/** The rows of tunnels that do nothing: their memory, and what setting them up took. */
export const IDLE_FAMILY: Family = {
  ids: ["idle_rss", "connect_cpu"],
  run: (asked, context) => measureTunnels(asked, context, async () => {}),
};

/** Does something with tunnels before their memory is read. */
export type BeforeReading = (target: Target, deviceIds: readonly string[]) => Promise<void>;

/** Measures what tunnels weigh after `before`, and what setting them up took; the same samples for every row asked for. */
export async function measureTunnels(
  asked: readonly RowId[],
  context: RowContext,
  before: BeforeReading,
): Promise<readonly RowResult[]> {
  const { plan } = context;
  const fleet = makeFleet(WORK_FOLDER, "idle", IDLE_WARM_TUNNELS + plan.idleTunnels);
  const taken: Partial<Record<RelayId, Sample[]>> = {};
  try {
    for (let round = 0; round < plan.idleRounds; round++) {
      for (const [relayId, sample] of await idleRound(context, fleet, before)) {
        taken[relayId] = [...(taken[relayId] ?? []), sample];
      }
    }
  } finally {
    fleet.remove();
  }
  return asked.map((id) => ({ id, samples: taken }));
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
  before: BeforeReading,
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
      const secondsBefore = cpuSeconds(pid);
      const { idleTunnels } = plan;
      to.devices.push(
        await startDevice(tools, to.relay, tokensFile, idleTunnels, IDLE_WARM_TUNNELS),
      );
      to.connectSeconds = cpuSeconds(pid) - secondsBefore;
    }
    // With all connected, so that none has long been used by the time at which all are read: a relay may let go of streams.
    for (const to of contestants) await before(to.target, deviceIds.slice(IDLE_WARM_TUNNELS));
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
export async function warmIdle(
  context: Pick<RowContext, "tools" | "plan" | "note">,
  to: Pick<Contestant, "relay" | "target">,
  deviceIds: readonly string[],
): Promise<void> {
  await verify(to.target, deviceIds.slice(0, 1));
  const answerBytes = await helloBytes(to.target, deviceIds[0] ?? "");
  const seconds = Math.max(1, context.plan.warmSeconds);
  const load = { deviceIds, connections: WARM_CONNECTIONS, seconds, answerBytes };
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

/** Resident bytes once they have changed by less than 0.2 % for a step, four steps after the call at the earliest. */
export async function settledBytes(pid: number, stepMs: number = SETTLE_STEP_MS): Promise<number> {
  let last = residentBytes(pid);
  for (let step = 1; ; step++) {
    await delay(stepMs);
    const now = residentBytes(pid);
    const still = Math.abs(now / last - 1) < SETTLED_CHANGE;
    if ((still && step >= SETTLE_STEPS_MIN) || step === SETTLE_STEPS_MAX) return now;
    last = now;
  }
}
