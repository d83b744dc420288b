import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { root } from "../../test/support/root.ts";
import { ROW_IDS, ROWS } from "./table.ts";
import type { JudgedCondition, JudgedRow } from "./verdict.ts";

/** Of what, and on what, figures were taken. */
export interface Provenance {
  /** In full, with {@link CHANGED} behind it where files of the product or the bench differ from it. */
  readonly commit: string;
  readonly node: string;
  readonly cpu: string;
}

/** What bench/results/latest.json holds. */
export interface ResultFile extends Provenance {
  readonly schema: 2;
  readonly rounds: number;
  readonly rows: readonly JudgedRow[];
}

/** What stands behind the commit of figures that are not those of a commit alone. */
export const CHANGED = " with changes";

/** True for figures that were taken with changes, of which nobody knows what they were. */
export function isChanged(commit: string): boolean {
  return commit.endsWith(CHANGED);
}

/** The commit of a checkout. @param folder its root */
export function commitOf(folder: string): string {
  const git = (...words: string[]): string =>
    execFileSync("git", words, { cwd: folder, encoding: "utf8" }).trim();
  const changes = git("status", "--porcelain", "--", "src", "bench");
  return `${git("rev-parse", "HEAD")}${changes === "" ? "" : CHANGED}`;
}

/** This checkout and this machine. */
export function provenance(): Provenance {
  const processors = cpus();
  return {
    commit: commitOf(root),
    node: process.version,
    cpu: `${processors.length} x ${processors[0]?.model.trim() ?? "unknown"}`,
  };
}

/**
 * A result with the rows of an earlier one that it does not have itself, in the order of the table. An earlier one of another
 * commit, Node, machine or form, or of a commit with changes, has nothing to give.
 *
 * @param earlier the parsed JSON of a result, or null where there is none
 */
export function withEarlierRows(file: ResultFile, earlier: ResultFile | null): ResultFile {
  const isAlike = (["schema", "commit", "node", "cpu"] as const).every(
    (name) => earlier?.[name] === file[name],
  );
  const kept = isAlike && !isChanged(file.commit) ? (earlier?.rows ?? []) : [];
  const missing = kept.filter(({ id }) => !file.rows.some((row) => row.id === id));
  const rows = [...file.rows, ...missing].sort(
    (one, other) => ROW_IDS.indexOf(one.id) - ROW_IDS.indexOf(other.id),
  );
  return { ...file, rows };
}

/** The result of a run of this checkout on this machine. */
export function resultFile(rounds: number, rows: readonly JudgedRow[]): ResultFile {
  return { schema: 2, ...provenance(), rounds, rows };
}

const HEADINGS = ["row", "figure", "Hawser", "reference", "ratio", "gate", "ok", "goal", "met"];
const TEXT_COLUMNS = 2;

/** The table that a run prints: a line a row, and one for each further condition of it. */
export function rowsTable(rows: readonly JudgedRow[]): string {
  const lines = [HEADINGS];
  for (const row of rows) {
    row.conditions.forEach((condition, at) => {
      const isFirst = at === 0;
      lines.push([
        isFirst ? row.id : "",
        isFirst ? `${ROWS[row.id].title}, ${row.unit}` : otherCondition(row, condition),
        isFirst ? shown(row.hawser) : "",
        isFirst ? shown(row.reference) : "",
        isFirst ? shown(row.ratio) : "",
        `${row.better === "lower" ? "<=" : ">="} ${shown(condition.gate)}`,
        condition.ok ? "yes" : "NO",
        shown(condition.goal),
        condition.goalMet ? "yes" : "no",
      ]);
    });
  }
  return aligned(lines);
}

function otherCondition(row: JudgedRow, { of, figure, value }: JudgedCondition): string {
  const what = of === "ratio" ? "as a ratio" : "by itself";
  return figure === ROWS[row.id].main ? `  ${what}` : `  ${figure}: ${shown(value)}`;
}

function aligned(lines: readonly (readonly string[])[]): string {
  const widths = HEADINGS.map((_, column) =>
    Math.max(...lines.map((line) => (line[column] ?? "").length)),
  );
  const cell = (text: string, column: number): string => {
    const width = widths[column] ?? 0;
    return column < TEXT_COLUMNS ? text.padEnd(width) : text.padStart(width);
  };
  return lines.map((line) => `${line.map(cell).join("  ").trimEnd()}\n`).join("");
}

/** A figure with the digits that it is worth. */
export function shown(value: number | null): string {
  if (value === null) return "-";
  if (value >= 1_000) return Math.round(value).toLocaleString("en");
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(3);
}
