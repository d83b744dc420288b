import { ROWS } from "../rows/table.ts";
import {
  GATED_COUNTS,
  GATED_MICRO,
  GATED_ROWS,
  type GateId,
  isGatedCount,
  isGatedRow,
} from "./table.ts";

/** A gated figure beside what it must hold. */
export interface GateVerdict {
  readonly id: GateId;
  readonly kind: "ratio" | "count";
  readonly measured: number;
  /** What it is on main. */
  readonly value: number;
  /** The least and the most that pass; null for no bound on that side. */
  readonly least: number | null;
  readonly most: number | null;
  readonly ok: boolean;
  /** It failed at first, and this is the second measurement. */
  readonly measuredTwice: boolean;
}

/** Whether a measured figure passes. One that could not be measured is no number and does not. */
export function gateVerdict(id: GateId, measured: number, measuredTwice = false): GateVerdict {
  const { kind, value, least, most } = boundsOf(id);
  const ok = (least === null || measured >= least) && (most === null || measured <= most);
  return {
    id,
    kind,
    measured,
    value,
    least,
    most,
    ok: ok && !Number.isNaN(measured),
    measuredTwice,
  };
}

function boundsOf(id: GateId): Pick<GateVerdict, "kind" | "value" | "least" | "most"> {
  if (isGatedCount(id)) {
    const { value, precision } = GATED_COUNTS[id];
    return { kind: "count", value, least: value - precision, most: value + precision };
  }
  if (isGatedRow(id)) {
    const { value, tolerance } = GATED_ROWS[id];
    // A rate may not fall as far as a cost may rise: both stand for the same loss.
    return ROWS[id].better === "higher"
      ? { kind: "ratio", value, least: value / (1 + tolerance), most: null }
      : { kind: "ratio", value, least: null, most: value * (1 + tolerance) };
  }
  const { value, tolerance } = GATED_MICRO[id];
  return { kind: "ratio", value, least: null, most: value * (1 + tolerance) };
}

/** What a reader of a failed count is told. */
export function adviceOn({ id, kind, measured, value, ok }: GateVerdict): string {
  if (ok) return "";
  if (kind === "count" && measured < value) {
    return `${id} became better: put ${measured.toPrecision(5)} into bench/gate/table.ts`;
  }
  return `${id} is worse than it may be`;
}

const HEADINGS = ["figure", "measured", "value", "least", "most", "ok", ""];

/** One line for each figure. */
export function gateTable(verdicts: readonly GateVerdict[]): string {
  const lines = [
    HEADINGS,
    ...verdicts.map(({ id, measured, value, least, most, ok, measuredTwice }) => [
      id,
      shown(measured),
      shown(value),
      least === null ? "-" : shown(least),
      most === null ? "-" : shown(most),
      ok ? "yes" : "NO",
      measuredTwice ? "measured twice" : "",
    ]),
  ];
  const widths = HEADINGS.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  return lines
    .map((line) => {
      const cells = line.map((cell, at) =>
        at === 0 || at === HEADINGS.length - 1
          ? cell.padEnd(widths[at] ?? 0)
          : cell.padStart(widths[at] ?? 0),
      );
      return `${cells.join("  ").trimEnd()}\n`;
    })
    .join("");
}

function shown(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(4);
}
