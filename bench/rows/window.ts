import { DelayProxy } from "../../test/support/delay-proxy.ts";
import type { Child } from "../support/child.ts";
import { makeFleet } from "../support/fleet.ts";
import { runBodies, type Sample } from "../support/load.ts";
import { type RunningRelay, startDeviceProgram, startRelay } from "../support/relays.ts";
import { WORK_FOLDER } from "../support/tools.ts";
import { verify } from "../support/verify.ts";
import { attempt } from "./contestants.ts";
import type { Family, RowContext, RowResult } from "./row.ts";
import type { RowId } from "./table.ts";

/** Half of the round trip that the line adds. */
const ONE_WAY_MS = 50;
/** The window that the protocol begins with, and that a relay without growing windows stays at. */
const FIXED_WINDOW_KIB = 256;

/** The row of a long line: Hawser's relay as it is, and the same relay with windows that do not grow. */
export const WINDOW_FAMILY: Family = { ids: ["window_100ms"], run: runWindowRows };

/** A relay with a Go device behind a long line. */
interface LongLine {
  readonly side: "hawser" | "reference";
  readonly relay: RunningRelay;
  readonly line: DelayProxy;
  readonly device: Child;
}

async function runWindowRows(
  asked: readonly RowId[],
  context: RowContext,
): Promise<readonly RowResult[]> {
  const { tools, plan } = context;
  const fleet = makeFleet(WORK_FOLDER, "window", 1);
  const deviceId = fleet.deviceIds[0] ?? "";
  const closing: (() => Promise<void>)[] = [];
  const startLine = async (side: LongLine["side"], flags: readonly string[]): Promise<LongLine> => {
    const gate = [`--credentials=${fleet.hawserFile}`, ...flags];
    const relay = await startRelay("hawser", tools, fleet, { gate });
    closing.push(() => relay.stop());
    const line = await DelayProxy.start(relay.port, ONE_WAY_MS);
    closing.push(() => line.close());
    const { tokensFile } = fleet;
    const device = await startDeviceProgram(tools.godevice, {
      relay: line,
      tokensFile,
      count: 1,
      cores: tools.pinning.load,
    });
    closing.push(() => device.stop());
    return { side, relay, line, device };
  };
  const samples: Record<LongLine["side"], Sample[]> = { hawser: [], reference: [] };
  try {
    const lines = [
      await startLine("hawser", []),
      await startLine("reference", [`--window-max=${FIXED_WINDOW_KIB}KiB`]),
    ];
    const verifyAll = async (): Promise<void> => {
      for (const { relay } of lines) {
        await verify({ port: relay.port, key: fleet.key }, fleet.deviceIds);
      }
    };
    await verifyAll();
    for (let round = 0; round < plan.windowRounds; round++) {
      for (const { side, relay } of lines) {
        // The slow side moves an eighth, so that both take about as long.
        const bodyBytes = side === "hawser" ? plan.windowBytes : plan.windowBytes / 8;
        const target = { port: relay.port, key: fleet.key };
        const load = { deviceId, mode: "down", bodyBytes, seconds: 0, clients: 1 } as const;
        const sample = await attempt(context, () => runBodies(tools, relay, target, load));
        samples[side].push(sample);
      }
    }
    await verifyAll();
    for (const { relay, device } of lines) {
      const failure = relay.child.failure ?? device.failure;
      if (failure !== null) throw new Error(failure);
    }
  } finally {
    for (const close of closing.reverse()) await close();
    fleet.remove();
  }
  return asked.map((id) => ({ id, samples }));
}
