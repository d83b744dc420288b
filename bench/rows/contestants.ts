import type { Child } from "../support/child.ts";
import type { Fleet } from "../support/fleet.ts";
import { type Sample, VoidRun } from "../support/load.ts";
import {
  type RelayId,
  type RunningRelay,
  startDevice,
  startDeviceProgram,
  startRelay,
} from "../support/relays.ts";
import { type Target, verify } from "../support/verify.ts";
import type { RowContext, RowResult } from "./row.ts";

const ATTEMPTS = 3;

/** One relay with its device, ready for load. */
export interface Contestant {
  readonly relay: RunningRelay;
  readonly device: Child;
  readonly target: Target;
}

/** The samples of each side. */
export type Samples = RowResult["samples"];

/** Starts the devices of a fleet, one process for all, and resolves when all their tunnels are up. */
export type DeviceStart = (
  context: RowContext,
  relay: RunningRelay,
  fleet: Fleet,
) => Promise<Child>;

/** The device that is cheaper than a relay. */
export const startCheapDevices: DeviceStart = ({ tools }, relay, fleet) =>
  startDevice(tools, relay, fleet.tokensFile, fleet.deviceIds.length);

/** Devices as a Go program has them when it is written plainly. */
export const startGoDevices: DeviceStart = ({ tools }, relay, { tokensFile, deviceIds }) =>
  startDeviceProgram(tools.godevice, {
    relay,
    tokensFile,
    count: deviceIds.length,
    cores: tools.pinning.load,
  });

/**
 * Starts every relay with a device of its own, verifies them before and after, ends them and removes the fleet in any case.
 *
 * @throws Error when a process fails or a relay passes something wrong
 */
export async function withContestants<Result>(
  context: RowContext,
  fleet: Fleet,
  start: DeviceStart,
  measure: (contestants: readonly Contestant[]) => Promise<Result>,
): Promise<Result> {
  const contestants: Contestant[] = [];
  const relays: RunningRelay[] = [];
  try {
    for (const relayId of context.relayIds) {
      const relay = await startRelay(relayId, context.tools, fleet);
      relays.push(relay);
      const device = await start(context, relay, fleet);
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
    fleet.remove();
  }
}

/** What takes its turn in a round. */
export interface Side {
  readonly id: RelayId | "direct";
  /** One load of the given length. */
  readonly run: (seconds: number) => Promise<Sample>;
}

/** Warms every side up, then loads them in turn, round by round. */
export async function interleaved(
  context: RowContext,
  sides: readonly Side[],
): Promise<Map<Side["id"], Sample[]>> {
  const { plan } = context;
  const samples = new Map<Side["id"], Sample[]>();
  for (const side of sides) {
    samples.set(side.id, []);
    if (plan.warmSeconds > 0) await attempt(context, () => side.run(plan.warmSeconds));
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const side of sides) {
      samples.get(side.id)?.push(await attempt(context, () => side.run(plan.loadSeconds)));
    }
  }
  return samples;
}

/** The sides that are relays. */
export function relaySamples(samples: ReadonlyMap<Side["id"], Sample[]>): Samples {
  const sides = [...samples].filter(([id]) => id !== "direct");
  return Object.fromEntries(sides);
}

/** Repeats a void run, up to three times in all. */
export async function attempt<T>(
  context: Pick<RowContext, "note">,
  run: () => Promise<T>,
): Promise<T> {
  for (let count = 1; ; count++) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof VoidRun) || count === ATTEMPTS) throw error;
      context.note(`void run, repeated: ${error.message}`);
    }
  }
}
