import { makeFleet } from "../support/fleet.ts";
import { type BodyLoad, runBodies } from "../support/load.ts";
import { WORK_FOLDER } from "../support/tools.ts";
import { interleaved, relaySamples, startCheapDevices, withContestants } from "./contestants.ts";
import type { Family, Plan, RowContext, RowResult } from "./row.ts";
import type { RowId } from "./table.ts";

/** Bodies in one direction, and the rows that this gives. */
interface BodyRows {
  readonly ids: readonly RowId[];
  readonly mode: BodyLoad["mode"];
  readonly clients: number;
  /** Bytes of one body. */
  readonly bytes: (plan: Plan) => number;
}

const LOADS: readonly BodyRows[] = [
  { ids: ["down_1", "down_rate_1"], mode: "down", clients: 1, bytes: (plan) => plan.downBytes },
  { ids: ["up_1", "up_rate_1"], mode: "up", clients: 1, bytes: (plan) => plan.upBytes },
  // As many bytes in flight at once as one client has.
  { ids: ["down_8"], mode: "down", clients: 8, bytes: (plan) => plan.downBytes / 8 },
  { ids: ["up_8"], mode: "up", clients: 8, bytes: (plan) => plan.upBytes / 8 },
];

/** The rows of large bodies: the CPU and the rate of one transfer come from the same run. */
export const BODY_FAMILIES: readonly Family[] = LOADS.map((load) => {
  return { ids: load.ids, run: (asked, context) => runBodyRows(asked, context, load) };
});

async function runBodyRows(
  asked: readonly RowId[],
  context: RowContext,
  { mode, clients, bytes }: BodyRows,
): Promise<readonly RowResult[]> {
  const fleet = makeFleet(WORK_FOLDER, asked[0] ?? "bodies", 1);
  const deviceId = fleet.deviceIds[0] ?? "";
  const bodyBytes = bytes(context.plan);
  return withContestants(context, fleet, startCheapDevices, async (contestants) => {
    const sides = contestants.map(({ relay, target }) => {
      const run = (seconds: number) =>
        runBodies(context.tools, relay, target, { deviceId, mode, bodyBytes, seconds, clients });
      return { id: relay.id, run };
    });
    const samples = relaySamples(await interleaved(context, sides));
    return asked.map((id) => ({ id, samples }));
  });
}
