import { type DirectServer, directAnswer, startDirectServer } from "../support/direct-server.ts";
import { makeFleet } from "../support/fleet.ts";
import { type Measured, runSmall, type Sample } from "../support/load.ts";
import { median } from "../support/stats.ts";
import { WORK_FOLDER } from "../support/tools.ts";
import { helloAnswer, helloBytes, type Target } from "../support/verify.ts";
import {
  attempt,
  type Contestant,
  type DeviceStart,
  interleaved,
  relaySamples,
  type Side,
  startCheapDevices,
  startGoDevices,
  withContestants,
} from "./contestants.ts";
import type { Family, RowContext, RowResult } from "./row.ts";
import { ROWS, type RowId } from "./table.ts";

/** A load of small requests, and the rows that it gives. */
interface SmallLoad {
  readonly ids: readonly RowId[];
  readonly devices: number;
  readonly connections: number;
  /** Whether to say how near the load is to what the three processes can reach. */
  readonly reaches: boolean;
  readonly start: DeviceStart;
}

/** A load that another one beats by more than this was not the pair's limit. */
const REACH_TOLERANCE = 0.1;

const LOADS: readonly SmallLoad[] = [
  {
    ids: ["small_1dev_c128", "small_vs_direct"],
    devices: 1,
    connections: 128,
    reaches: true,
    start: startCheapDevices,
  },
  {
    ids: ["small_100dev_c128"],
    devices: 100,
    connections: 128,
    reaches: true,
    start: startCheapDevices,
  },
  {
    ids: ["small_100dev_c1"],
    devices: 100,
    connections: 1,
    reaches: false,
    start: startCheapDevices,
  },
  {
    ids: ["rps_1dev_c32", "small_p50_c32", "small_p99_c32"],
    devices: 1,
    connections: 32,
    reaches: false,
    start: startCheapDevices,
  },
  {
    ids: ["small_godev_c128"],
    devices: 1,
    connections: 128,
    reaches: false,
    start: startGoDevices,
  },
];

/** The rows of small requests: each load runs once for all the rows that it gives. */
export const SMALL_FAMILIES: readonly Family[] = LOADS.map((load) => {
  return { ids: load.ids, run: (asked, context) => runSmallRows(asked, context, load) };
});

async function runSmallRows(
  asked: readonly RowId[],
  given: RowContext,
  load: SmallLoad,
): Promise<readonly RowResult[]> {
  const isRelayRow = (id: RowId): boolean => ROWS[id].against === "Go relay";
  // A load that only has to stand beside a direct answer needs no other relay.
  const relayIds = given.relayIds.filter((id) => id === "hawser" || asked.some(isRelayRow));
  const context = { ...given, relayIds };
  const fleet = makeFleet(WORK_FOLDER, asked[0] ?? "small", load.devices);
  return withContestants(context, fleet, load.start, async (contestants) => {
    const sides: Side[] = [];
    for (const to of contestants) {
      const { connections } = load;
      sides.push({
        id: to.relay.id,
        run: await smallRun(context, to, fleet.deviceIds, connections),
      });
    }
    const hawser = contestants.find(({ relay }) => relay.id === "hawser");
    const withDirect = hawser !== undefined && !asked.every(isRelayRow);
    const direct = withDirect ? await startDirect(context, hawser, fleet.deviceIds[0] ?? "") : null;
    try {
      if (direct !== null) {
        const target = { port: direct.port, key: fleet.key };
        const to = { relay: direct, target };
        sides.push({
          id: "direct",
          run: await smallRun(context, to, fleet.deviceIds, load.connections),
        });
      }
      const samples = await interleaved(context, sides);
      if (load.reaches) await checkReach(context, contestants, fleet.deviceIds, load, samples);
      return asked.map((id) => ({ id, samples: sidesOf(id, samples) }));
    } finally {
      await direct?.child.stop();
    }
  });
}

/** A server that gives Hawser's own answer by itself, with as many bytes. @throws Error when it does not */
async function startDirect(
  { tools }: RowContext,
  hawser: Contestant,
  deviceId: string,
): Promise<DirectServer> {
  const answer = await helloAnswer(hawser.target, deviceId);
  const direct = await startDirectServer(directAnswer(answer), tools.pinning.relay);
  const own = await helloBytes({ port: direct.port, key: hawser.target.key }, deviceId);
  if (own === answer.length) return direct;
  await direct.child.stop();
  throw new Error(`the direct answer has ${own} bytes, Hawser's ${answer.length}`);
}

/** The samples that a row compares: of the relays, or of Hawser and the direct answer. */
function sidesOf(id: RowId, samples: ReadonlyMap<Side["id"], Sample[]>): RowResult["samples"] {
  if (ROWS[id].against === "Go relay") return relaySamples(samples);
  const { hawser } = relaySamples(samples);
  const reference = samples.get("direct");
  return {
    ...(hawser === undefined ? {} : { hawser }),
    ...(reference === undefined ? {} : { reference }),
  };
}

async function smallRun(
  { tools }: RowContext,
  to: { readonly relay: Measured; readonly target: Target },
  deviceIds: readonly string[],
  connections: number,
): Promise<(seconds: number) => Promise<Sample>> {
  const answerBytes = await helloBytes(to.target, deviceIds[0] ?? "");
  return (seconds) =>
    runSmall(tools, to.relay, to.target, { deviceIds, connections, seconds, answerBytes });
}

/** Loads each relay once with twice the connections, and says where that gives notably more requests a second. */
async function checkReach(
  context: RowContext,
  contestants: readonly Contestant[],
  deviceIds: readonly string[],
  load: SmallLoad,
  samples: ReadonlyMap<Side["id"], readonly Sample[]>,
): Promise<void> {
  const connections = 2 * load.connections;
  for (const to of contestants) {
    const run = await smallRun(context, to, deviceIds, connections);
    const sample = await attempt(context, () => run(context.plan.loadSeconds));
    const beyond = sample["rps"] ?? 0;
    const reached = median((samples.get(to.relay.id) ?? []).map(({ rps = 0 }) => rps));
    const share = reached / Math.max(reached, beyond);
    if (share < 1 - REACH_TOLERANCE) {
      const percent = Math.round(100 * share);
      context.note(
        `${load.ids[0]}: ${to.relay.id} reaches more with ${connections} connections; this load is ${percent} % of it`,
      );
    }
  }
}
