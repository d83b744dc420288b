import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeFleet } from "../support/fleet.ts";
import { median } from "../support/stats.ts";
import { CONNECTIONS, SteppedLoad } from "./load.ts";
import { SteppedRelay, type SteppedRelaySpec } from "./stepped-relay.ts";
import { traceSystemCalls } from "./system-calls.ts";

/** How much of each load. */
export interface CountsPlan {
  readonly warmBatches: number;
  readonly batches: number;
  readonly bodies: number;
  /** Readings of the heap. */
  readonly windows: number;
}

const PROBE = new URL("./probe.js", import.meta.url);
/** MiB. So large that nothing is collected between two readings: 6 KiB for each of 3,200 requests are 19 MiB. */
const YOUNG_MIB = 64;

/** System calls of the relay's loop a request, in the batch that had the fewest. */
export async function systemCalls(
  strace: string,
  plan: CountsPlan,
): Promise<{ readonly perRequest: number; readonly byName: Readonly<Record<string, number>> }> {
  return withLoad({}, async (load, relay, folder) => {
    await load.small(plan.warmBatches);
    const { perStep, byName } = await traceSystemCalls(
      strace,
      relay.pid,
      join(folder, "trace"),
      () => load.small(plan.batches),
    );
    return { perRequest: perStep / CONNECTIONS, byName };
  });
}

/** Bytes that the relay's JavaScript copies, and the messages of its tunnel. */
export interface Copies {
  /** Bytes copied for each small request, answer included. */
  readonly perRequest: number;
  /** For each byte of a body. */
  readonly perByteDown: number;
  readonly perByteUp: number;
  /** WebSocket messages for each request, to the device and from it. */
  readonly messagesToDevice: number;
  readonly messagesFromDevice: number;
}

/** Counts both. Without access lines, whose length is the machine's: they name its host and the process. */
export function copies(plan: CountsPlan): Promise<Copies> {
  const nodeArgs = [`--import=${PROBE.href}?copies`];
  return withLoad({ nodeArgs, settings: ["--log-level=warn"] }, async (load, relay) => {
    const during = async <T>(work: () => Promise<T>): Promise<[copied: number, result: T]> => {
      const before = await relay.ask("copies");
      const result = await work();
      return [(await relay.ask("copies")) - before, result];
    };
    await load.small(plan.warmBatches);
    await load.down(1);
    await load.up(1);
    const { device } = load;
    const { messagesIn, messagesOut } = device;
    const requests = plan.batches * CONNECTIONS;
    const [small] = await during(() => load.small(plan.batches));
    const toDevice = (device.messagesIn - messagesIn) / requests;
    const fromDevice = (device.messagesOut - messagesOut) / requests;
    const [down, downBytes] = await during(() => load.down(plan.bodies));
    const [up, upBytes] = await during(() => load.up(plan.bodies));
    return {
      perRequest: small / requests,
      perByteDown: down / downBytes,
      perByteUp: up / upBytes,
      messagesToDevice: toDevice,
      messagesFromDevice: fromDevice,
    };
  });
}

/** Bytes that a small request leaves on the JavaScript heap before anything is collected: the median of several readings. */
export function allocatedPerRequest(plan: CountsPlan): Promise<number> {
  const nodeArgs = [
    "--expose-gc",
    `--min-semi-space-size=${YOUNG_MIB}`,
    `--max-semi-space-size=${YOUNG_MIB}`,
    `--import=${PROBE.href}`,
  ];
  return withLoad({ nodeArgs }, async (load, relay) => {
    await load.small(plan.warmBatches);
    const readings: number[] = [];
    for (let window = 0; window < plan.windows; window++) {
      const before = await relay.ask("collected");
      await load.small(plan.batches);
      readings.push(((await relay.ask("heap")) - before) / (plan.batches * CONNECTIONS));
    }
    return median(readings);
  });
}

async function withLoad<T>(
  { nodeArgs = [], settings = [] }: Partial<Pick<SteppedRelaySpec, "nodeArgs" | "settings">>,
  measure: (load: SteppedLoad, relay: SteppedRelay, folder: string) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "hawser-counts-"));
  // In a folder of its own, since the relay watches it: its own log beside it would wake it.
  const credentials = join(folder, "credentials");
  mkdirSync(credentials);
  const fleet = makeFleet(credentials, "counts", 1);
  const token = readFileSync(fleet.tokensFile, "latin1").trim();
  let relay: SteppedRelay | null = null;
  let load: SteppedLoad | null = null;
  try {
    const credentialsFile = fleet.hawserFile;
    relay = await SteppedRelay.start({ folder, credentialsFile, nodeArgs, settings });
    const deviceId = fleet.deviceIds[0] ?? "";
    load = await SteppedLoad.connect(relay, { deviceId, token, key: fleet.key });
    return await measure(load, relay, folder);
  } finally {
    load?.close();
    await relay?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
