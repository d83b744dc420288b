import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Fleet, makeFleet } from "../support/fleet.ts";
import { runBodies, runSmall } from "../support/load.ts";
import type { RunningRelay } from "../support/relays.ts";
import { helloBytes, type Target, verify } from "../support/verify.ts";
import { forwardThroughApi } from "./api-forward.ts";
import type { Profiled, Profiler } from "./profilers.ts";
import { type ScenarioContext, startRelay } from "./relay.ts";

/** What of the product runs, under which profiler, and what is done to it meanwhile. */
export interface Scenario {
  readonly id: string;
  readonly title: string;
  readonly profiler: Profiler;
  /** @returns the program that was under the profiler; it has ended */
  readonly run: (context: ScenarioContext) => Promise<Profiled>;
}

const IDLE_TUNNELS = 10_000;
const CONNECTIONS = 128;
const API_CONNECTIONS = 32;
const MIB = 2 ** 20;

/** All pictures, in the order in which they are made. */
export const SCENARIOS: readonly Scenario[] = [
  {
    id: "relay-small",
    title: `Relay, 13-byte answers, ${CONNECTIONS} connections, one device`,
    profiler: "clinic flame",
    run: (context) => underRelay(context, 1, loadSmall),
  },
  {
    id: "relay-small-doctor",
    title: `Relay, 13-byte answers, ${CONNECTIONS} connections, one device: clinic's doctor`,
    profiler: "clinic doctor",
    run: (context) => underRelay(context, 1, loadSmall),
  },
  {
    id: "relay-download",
    title: "Relay, one client downloads 512 MiB bodies",
    profiler: "0x",
    run: (context) => underRelay(context, 1, (at) => loadBodies(at, "down", 512 * MIB)),
  },
  {
    id: "relay-upload",
    title: "Relay, one client uploads 128 MiB bodies",
    profiler: "0x",
    run: (context) => underRelay(context, 1, (at) => loadBodies(at, "up", 128 * MIB)),
  },
  {
    id: "relay-idle",
    title: `Relay, ${IDLE_TUNNELS.toLocaleString("en")} tunnels connect and then idle, pinged every 5 s`,
    profiler: "0x",
    run: (context) =>
      underRelay(context, IDLE_TUNNELS, ({ seconds }) => delay(seconds * 1_000), [
        "--keep-alive-interval=5s",
      ]),
  },
  {
    id: "api-forward",
    title: `API server, small requests to a device with a key, ${API_CONNECTIONS} connections`,
    profiler: "0x",
    run: (context) => withFolder((folder) => forwardThroughApi(context, folder, API_CONNECTIONS)),
  },
];

/** A relay under a profiler, with its devices connected. */
interface Loaded extends ScenarioContext {
  readonly relay: RunningRelay;
  readonly fleet: Fleet;
  readonly target: Target;
}

async function underRelay(
  context: ScenarioContext,
  deviceCount: number,
  load: (loaded: Loaded) => Promise<unknown>,
  more: readonly string[] = [],
): Promise<Profiled> {
  return withFolder(async (folder) => {
    const fleet = makeFleet(folder, context.id, deviceCount);
    const { profiled, relay, device } = await startRelay(context, folder, fleet, more);
    try {
      const target = { port: relay.port, key: fleet.key };
      await verify(target, fleet.deviceIds.slice(0, 1));
      await load({ ...context, relay, fleet, target });
    } finally {
      await device.stop();
      await profiled.stop();
    }
    return profiled;
  });
}

async function loadSmall({ tools, relay, fleet, target, seconds }: Loaded): Promise<void> {
  const { deviceIds } = fleet;
  const answerBytes = await helloBytes(target, deviceIds[0] ?? "");
  const load = { deviceIds, connections: CONNECTIONS, seconds, answerBytes };
  await runSmall(tools, relay, target, load);
}

async function loadBodies(
  { tools, relay, fleet, target, seconds }: Loaded,
  mode: "down" | "up",
  bodyBytes: number,
): Promise<void> {
  const deviceId = fleet.deviceIds[0] ?? "";
  const load = { deviceId, mode, bodyBytes, clients: 1, seconds };
  await runBodies(tools, relay, target, load);
}

/** Secrets and databases of one scenario lie in a folder that goes with it. */
async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "hawser-flame-"));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
