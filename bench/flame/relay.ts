import { join } from "node:path";
import type { Child } from "../support/child.ts";
import type { Fleet } from "../support/fleet.ts";
import { type RunningRelay, startDevice } from "../support/relays.ts";
import type { Tools } from "../support/tools.ts";
import { MAIN_SCRIPT, type Profiled, type Profiler, startProfiled } from "./profilers.ts";

/** What a scenario is run with. */
export interface ScenarioContext {
  readonly id: string;
  readonly profiler: Profiler;
  readonly tools: Tools;
  /** How long the load lasts. */
  readonly seconds: number;
}

/** A relay that listens, and the processes around it. */
export interface Started {
  readonly profiled: Profiled;
  readonly relay: RunningRelay;
  readonly internalPort: number;
  readonly device: Child;
}

/** Starts a relay under a profiler, and the cheap device with all tokens of the fleet. */
export async function startRelay(
  { id, profiler, tools }: Pick<ScenarioContext, "id" | "profiler" | "tools">,
  folder: string,
  fleet: Pick<Fleet, "hawserFile" | "tokensFile" | "deviceIds">,
  more: readonly string[],
): Promise<Started> {
  const profiled = await startProfiled(profiler, id, [
    ...[MAIN_SCRIPT, "relay", "--listen-host=127.0.0.1", "--listen-port=0", "--internal-port=0"],
    ...[`--data-dir=${join(folder, "data")}`, `--credentials=${fleet.hawserFile}`, ...more],
  ]);
  try {
    const [, port, internal] = await profiled.logged(LISTENS);
    const { pid, child, stop } = profiled;
    const ports = { edge: Number(port), internal: Number(internal) };
    const relay = { id: "hawser" as const, pid, port: ports.edge, ports, child, stop };
    const device = await startDevice(tools, relay, fleet.tokensFile, fleet.deviceIds.length);
    return { profiled, relay, internalPort: ports.internal, device };
  } catch (error) {
    await profiled.stop();
    throw error;
  }
}

const LISTENS = /"listen":"127\.0\.0\.1:(\d+)","internal":"127\.0\.0\.1:(\d+)"/;
