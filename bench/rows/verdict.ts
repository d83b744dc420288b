import type { Sample } from "../support/load.ts";
import { RELAY_IDS, type RelayId } from "../support/relays.ts";
import { medians, rounded } from "../support/stats.ts";
import type { RowResult } from "./row.ts";
import { type Condition, gateOf, ROWS, type Row, type RowId } from "./table.ts";

/** One condition and whether it holds. */
export interface JudgedCondition {
  readonly of: Condition["of"];
  readonly figure: string;
  /** What was judged, or null where a side was not measured. */
  readonly value: number | null;
  readonly gate: number;
  readonly goal: number;
  readonly ok: boolean;
  readonly goalMet: boolean;
}

/** A row of bench/results/latest.json. */
export interface JudgedRow {
  readonly id: RowId;
  readonly unit: string;
  readonly better: Row["better"];
  readonly against: Row["against"];
  /** Medians of the rounds; null for a side that was not measured. */
  readonly hawser: number | null;
  readonly reference: number | null;
  readonly ratio: number | null;
  /** Of the first condition. */
  readonly gate: number;
  readonly goal: number;
  /** Every gate holds. False where one could not be judged. */
  readonly ok: boolean;
  readonly goalMet: boolean;
  readonly conditions: readonly JudgedCondition[];
  readonly rounds: number;
  /** The compared figure of each round, by side. */
  readonly samples: Readonly<Partial<Record<RelayId, readonly number[]>>>;
  /** Medians of the figures beside it, each by side. */
  readonly more: Readonly<Record<string, Readonly<Partial<Record<RelayId, number>>>>>;
}

/** Medians, ratio and verdict of a row. */
export function judge(result: RowResult): JudgedRow {
  const { id, samples } = result;
  const row = ROWS[id];
  const figures: Partial<Record<RelayId, Sample>> = {};
  for (const side of RELAY_IDS) {
    const taken = samples[side];
    if (taken !== undefined) figures[side] = medians(taken);
  }
  const conditions = row.conditions.map((condition) => judgeCondition(condition, row, figures));
  const [first] = row.conditions;
  const hawser = figures.hawser?.[row.main];
  const reference = figures.reference?.[row.main];
  return {
    id,
    unit: row.unit,
    better: row.better,
    against: row.against,
    hawser: hawser === undefined ? null : rounded(hawser),
    reference: reference === undefined ? null : rounded(reference),
    ratio: ratioOf(figures, row.main),
    gate: rounded(gateOf(first, row.better)),
    goal: first.goal,
    ok: conditions.every(({ ok }) => ok),
    goalMet: conditions.every(({ goalMet }) => goalMet),
    conditions,
    rounds: samples.hawser?.length ?? 0,
    samples: ofEachRound(samples, row.main),
    more: figuresBeside(figures, row.main),
  };
}

function judgeCondition(
  condition: Condition,
  row: Row,
  figures: Readonly<Partial<Record<RelayId, Sample>>>,
): JudgedCondition {
  const { of, goal } = condition;
  const figure = condition.figure ?? row.main;
  const own = figures.hawser?.[figure];
  const itself = own === undefined ? null : rounded(own);
  const value = of === "ratio" ? ratioOf(figures, figure) : itself;
  const gate = rounded(gateOf(condition, row.better));
  const holds = (limit: number): boolean =>
    value !== null && (row.better === "lower" ? value <= limit : value >= limit);
  return { of, figure, value, gate, goal, ok: holds(gate), goalMet: holds(goal) };
}

function ratioOf(
  figures: Readonly<Partial<Record<RelayId, Sample>>>,
  figure: string,
): number | null {
  const hawser = figures.hawser?.[figure];
  const reference = figures.reference?.[figure];
  return hawser === undefined || reference === undefined ? null : rounded(hawser / reference);
}

function ofEachRound(samples: RowResult["samples"], figure: string): JudgedRow["samples"] {
  const taken: Partial<Record<RelayId, readonly number[]>> = {};
  for (const side of RELAY_IDS) {
    const rounds = samples[side];
    if (rounds !== undefined) taken[side] = rounds.map((sample) => rounded(sample[figure] ?? NaN));
  }
  return taken;
}

function figuresBeside(
  figures: Readonly<Partial<Record<RelayId, Sample>>>,
  main: string,
): JudgedRow["more"] {
  const more: Record<string, Partial<Record<RelayId, number>>> = {};
  for (const side of RELAY_IDS) {
    for (const [name, value] of Object.entries(figures[side] ?? {})) {
      if (name !== main) more[name] = { ...more[name], [side]: rounded(value) };
    }
  }
  return more;
}
