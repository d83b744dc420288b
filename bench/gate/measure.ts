import { allocatedPerRequest, type CountsPlan, copies, systemCalls } from "../counts/measure.ts";
import { measureMicro, microBenches } from "../micro/measure.ts";
import { measureRows } from "../rows/families.ts";
import { TINY } from "../rows/plan.ts";
import type { Plan } from "../rows/row.ts";
import { type JudgedRow, judge } from "../rows/verdict.ts";
import { touchPageCache } from "../support/page-cache.ts";
import { findTool, prepareTools, type Tools, WORK_FOLDER } from "../support/tools.ts";
import {
  type GatedCountId,
  type GatedMicroId,
  type GatedRowId,
  type GateId,
  isGatedCount,
  isGatedMicro,
  isGatedRow,
} from "./table.ts";

const MIB = 2 ** 20;

/** Short rounds and many of them: the median of many forgets a moment in which the machine did something else. */
export const GATE_PLAN: Plan = {
  ...TINY,
  rounds: 7,
  warmSeconds: 1,
  downBytes: 128 * MIB,
  upBytes: 32 * MIB,
  idleTunnels: 3_000,
};

const COUNTS_PLAN: CountsPlan = { warmBatches: 300, batches: 100, bodies: 8, windows: 5 };
/** Nothing is compiled for a trace. */
const TRACE_PLAN: CountsPlan = { ...COUNTS_PLAN, warmBatches: 20, batches: 40 };
const MICRO_PLAN = { rounds: 9, timeMs: 30 };

/** Measured figures by their ids. */
export type Measured = ReadonlyMap<GateId, number>;

let tools: Promise<Tools> | null = null;

/**
 * Measures the figures asked for.
 *
 * @param note told of what goes on
 * @throws Error when a program is missing, a process fails, or a run is void three times
 */
export async function measureFigures(
  ids: readonly GateId[],
  note: (text: string) => void,
): Promise<Measured> {
  const measured = new Map<GateId, number>();
  const counts = ids.filter(isGatedCount);
  if (counts.length > 0) {
    note(`counting ${counts.join(", ")}`);
    for (const [id, value] of await countFigures(counts)) measured.set(id, value);
  }
  const micro = ids.filter(isGatedMicro);
  if (micro.length > 0) {
    note(`running ${micro.join(", ")}`);
    for (const [id, value] of await microFigures(micro)) measured.set(id, value);
  }
  const rows = ids.filter(isGatedRow);
  if (rows.length > 0) {
    for (const [id, value] of await rowFigures(rows, note)) measured.set(id, value);
  }
  return measured;
}

async function countFigures(ids: readonly GatedCountId[]): Promise<Map<GatedCountId, number>> {
  const figures = new Map<GatedCountId, number>();
  const wants = (...some: readonly GatedCountId[]): boolean => some.some((id) => ids.includes(id));
  if (wants("syscalls_c32")) {
    const { perRequest } = await systemCalls(findTool("strace"), TRACE_PLAN);
    figures.set("syscalls_c32", perRequest);
  }
  if (
    wants("messages_to_device", "messages_from_device", "copied_small", "copied_down", "copied_up")
  ) {
    const found = await copies(COUNTS_PLAN);
    figures.set("messages_to_device", found.messagesToDevice);
    figures.set("messages_from_device", found.messagesFromDevice);
    figures.set("copied_small", found.perRequest);
    figures.set("copied_down", found.perByteDown);
    figures.set("copied_up", found.perByteUp);
  }
  if (wants("allocated_small")) {
    figures.set("allocated_small", await allocatedPerRequest(COUNTS_PLAN));
  }
  return new Map([...figures].filter(([id]) => ids.includes(id)));
}

async function microFigures(ids: readonly GatedMicroId[]): Promise<Map<GatedMicroId, number>> {
  const figures = new Map<GatedMicroId, number>();
  const benches = await microBenches();
  try {
    for (const bench of benches) {
      const { id } = bench;
      if (!isGatedMicro(id) || !ids.includes(id)) continue;
      figures.set(id, measureMicro(bench, MICRO_PLAN).ratio);
    }
  } finally {
    for (const bench of benches) bench.close?.();
  }
  return figures;
}

async function rowFigures(
  ids: readonly GatedRowId[],
  note: (text: string) => void,
): Promise<Map<GatedRowId, number>> {
  tools ??= prepareTools().then((found) => {
    touchPageCache(WORK_FOLDER);
    return found;
  });
  const context = { tools: await tools, plan: GATE_PLAN, note };
  const results = await measureRows(ids, { ...context, relayIds: ["hawser", "reference"] });
  const figures = new Map<GatedRowId, number>();
  for (const row of results.map(judge)) {
    if (isGatedRow(row.id)) figures.set(row.id, gatedRatio(row));
  }
  return figures;
}

/** Rows whose figure is a time or a rate of three processes together: a neighbour's burst is in it. */
const TIMED: ReadonlySet<GatedRowId> = new Set([
  "rps_1dev_c32",
  "small_p50_c32",
  "small_p99_c32",
  "down_rate_1",
  "up_rate_1",
]);

/**
 * The ratio that is gated: of medians where CPU or memory is compared, of the best rounds where times are. A stall of the relay's
 * own is in every round; one that the machine caused is not in all of them.
 */
function gatedRatio({ id, better, ratio, samples }: JudgedRow): number {
  if (!isGatedRow(id) || !TIMED.has(id)) return ratio ?? Number.NaN;
  const best = better === "lower" ? Math.min : Math.max;
  return best(...(samples.hawser ?? [])) / best(...(samples.reference ?? []));
}
