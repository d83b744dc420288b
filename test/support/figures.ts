import type { RowId } from "../../bench/rows/table.ts";
import type { Figures } from "../../bench/support/release.ts";

/** Figures of a run that never was: some rows and a small fleet. */
export function someFigures(): Figures {
  const from = { commit: "0123456789abcdef", node: "v20.19.0", cpu: "2 x none" };
  const row = (id: RowId, hawser: number, reference: number) => ({
    id,
    unit: "of a test",
    better: "lower" as const,
    against: "Go relay" as const,
    hawser,
    reference,
    ratio: hawser / reference,
    gate: 1,
    goal: 1,
    ok: true,
    goalMet: true,
    conditions: [],
    rounds: 1,
    samples: {},
    more: {},
  });
  const column = {
    rssBytes: 1_500,
    baseMiB: 80,
    heapBytes: 600,
    idleCpuPercent: 0.5,
    connectsPerS: 9_000,
    connectCpuUs: 40,
    killedBackMs: 3_000,
    killedHalfMs: 1_500,
    killedRefused: 12,
    killedP50Ms: 0.5,
    killedP99Ms: 2,
    quietP50Ms: 0.4,
    quietP99Ms: 1.5,
    drainMs: 5_000,
    drainedBackMs: 3_500,
  };
  const reference = { ...column, heapBytes: null, drainMs: null, drainedBackMs: null };
  return {
    rows: {
      schema: 2,
      ...from,
      rounds: 1,
      rows: [
        row("small_100dev_c128", 20, 80),
        row("down_1", 0.5, 1),
        row("up_1", 0.7, 7),
        row("touched_rss", 1_600, 29_000),
      ],
    },
    density: {
      schema: 1,
      ...from,
      devices: 1_000,
      idleSeconds: 60,
      relays: { hawser: column, reference },
    },
  };
}
