import { type Sample, VoidRun } from "../support/load.ts";
import type { RelayId } from "../support/relays.ts";
import { runStorm, type StormResult } from "../support/storm.ts";
import { attempt } from "./contestants.ts";
import type { Family, RowContext, RowResult } from "./row.ts";
import type { RowId } from "./table.ts";

/**
 * A fleet that comes back after its relay was killed. Hawser's relay asks an API server about every token, with its default limit of
 * handshakes; the Go relay looks into a table of its own and takes what comes.
 */
export const STORM_FAMILY: Family = { ids: ["storm"], run: runStormRow };

async function runStormRow(
  asked: readonly RowId[],
  context: RowContext,
): Promise<readonly RowResult[]> {
  const { tools, plan, relayIds } = context;
  const taken: Partial<Record<RelayId, Sample[]>> = {};
  const { stormDevices: devices, stormRounds } = plan;
  for (let round = 0; round < stormRounds; round++) {
    for (const relay of relayIds) {
      const sample = await attempt(context, async () =>
        stormSample(await runStorm(tools, { relay, devices, end: "SIGKILL", live: true })),
      );
      taken[relay] = [...(taken[relay] ?? []), sample];
    }
  }
  return asked.map((id) => ({ id, samples: taken }));
}

/**
 * The figures of a storm by name; `p99Ratio` is that of live traffic during the storm to that of the quiet relay.
 *
 * @throws VoidRun when the API server did not answer others meanwhile
 */
export function stormSample(result: StormResult): Sample {
  const { relay, halfMs, backMs, refused, relayCpuMs, live, api } = result;
  if (api !== null && api.probeFailures > 0) {
    throw new VoidRun(`${relay}: ${api.probeFailures} calls to the API server without an answer`);
  }
  const storm = live?.storm["p99Us"] ?? Number.NaN;
  const quiet = live?.quiet["p99Us"] ?? Number.NaN;
  return {
    backMs,
    halfMs,
    refused,
    relayCpuMs,
    p99Us: storm,
    quietP99Us: quiet,
    p99Ratio: storm / quiet,
  };
}
