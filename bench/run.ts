/**
 * `npm run bench`: the same load against Hawser's relay and against the Go baseline, in turn, in one run.
 * docs/performance.md says what each row measures and how.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "../test/support/root.ts";
import { type Plan, ROW_IDS, type RowId, type RowResult, runRow } from "./rows.ts";
import { touchPageCache } from "./support/page-cache.ts";
import { RELAY_IDS, type RelayId } from "./support/relays.ts";
import { rounded } from "./support/stats.ts";
import { prepareTools, WORK_FOLDER } from "./support/tools.ts";

const HELP = `Usage: npm run bench -- [options]

Runs the same load against Hawser's relay and a Go relay of the same shape, in turn, prints the medians and
writes bench/results/latest.json. Needs wrk, gcc and Go. Leave the machine alone meanwhile.

Options:
  --quick          fewer and shorter rounds, at most 3 minutes in all
  --only <id>      one row; may be given again. Rows: ${ROW_IDS.join(", ")}
  --rounds <n>     rounds of each row
  --relay <id>     measure only these relays (${RELAY_IDS.join(", ")}); may be given again. Default: hawser, reference.
                   tuned is the Go relay with 64 KiB buffers, shown beside the others
  --json           print the JSON instead of the table
  --help           this text
`;

const MIB = 2 ** 20;
const FULL: Plan = {
  rounds: 5,
  warmSeconds: 2,
  loadSeconds: 4,
  downBytes: 512 * MIB,
  upBytes: 128 * MIB,
  idleTunnels: 5_000,
  idleRounds: 3,
};
const QUICK: Plan = {
  ...FULL,
  rounds: 3,
  warmSeconds: 1,
  loadSeconds: 2,
  downBytes: 256 * MIB,
  upBytes: 64 * MIB,
};

/** What bench/results/latest.json holds. A row may carry more figures, each by relay. */
interface ResultFile {
  readonly schema: 1;
  readonly commit: string;
  readonly node: string;
  readonly cpu: string;
  readonly rounds: number;
  readonly rows: readonly ResultRow[];
}

interface ResultRow {
  readonly id: RowId;
  readonly unit: string;
  readonly hawser: number | null;
  readonly reference: number | null;
  readonly ratio: number | null;
  readonly tuned?: number;
  readonly rounds: number;
  readonly more: Readonly<Record<string, Readonly<Partial<Record<RelayId, number>>>>>;
}

/** How figures are shown: their name and unit, and what divides them. */
const FIGURES: Readonly<Record<string, { label: string; divisor: number }>> = {
  cpuUs: { label: "CPU µs/request", divisor: 1 },
  rps: { label: "requests/s", divisor: 1 },
  p50Us: { label: "p50 ms", divisor: 1_000 },
  p99Us: { label: "p99 ms", divisor: 1_000 },
  reach: { label: "share of reach", divisor: 1 },
  cpuSPerGiB: { label: "CPU s/GiB", divisor: 1 },
  mibPerS: { label: "MiB/s", divisor: 1 },
  rssBytes: { label: "bytes/tunnel", divisor: 1 },
  connectCpuUs: { label: "CPU µs/connect", divisor: 1 },
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string", multiple: true, default: [] },
      rounds: { type: "string" },
      relay: { type: "string", multiple: true, default: [] },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const rowIds = chosen("--only", values.only, ROW_IDS, ROW_IDS);
  const relayIds = chosen("--relay", values.relay, RELAY_IDS, ["hawser", "reference"]);
  const base = values.quick ? QUICK : FULL;
  const rounds = values.rounds === undefined ? base.rounds : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds takes a number from 1");
  const plan: Plan = values.rounds === undefined ? base : { ...base, rounds, idleRounds: rounds };

  const note = (text: string): void => {
    process.stderr.write(`${text}\n`);
  };
  const tools = await prepareTools();
  touchPageCache(WORK_FOLDER);
  const results: RowResult[] = [];
  for (const rowId of rowIds) {
    note(`running ${rowId}`);
    results.push(await runRow(rowId, { tools, plan, relayIds, note }));
  }
  const file = resultFile(plan, results);
  const folder = join(root, "bench", "results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "latest.json"), `${JSON.stringify(file, null, 2)}\n`);
  process.stdout.write(values.json ? `${JSON.stringify(file)}\n` : table(results, relayIds));
  for (const name of ROW_IDS) {
    for (const ending of ["tokens.txt", "hawser.json", "baseline.json"]) {
      rmSync(join(WORK_FOLDER, `${name}-${ending}`), { force: true });
    }
  }
}

function chosen<T extends string>(
  option: string,
  given: readonly string[],
  known: readonly T[],
  byDefault: readonly T[],
): readonly T[] {
  const unknown = given.find((name) => !known.some((id) => id === name));
  if (unknown !== undefined) {
    throw new Error(`${option} ${unknown}: known are ${known.join(", ")}`);
  }
  return given.length === 0 ? byDefault : known.filter((id) => given.includes(id));
}

function resultFile(plan: Plan, results: readonly RowResult[]): ResultFile {
  const processors = cpus();
  return {
    schema: 1,
    commit: execFileSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8" }).trim(),
    node: process.version,
    cpu: `${processors.length} x ${processors[0]?.model.trim() ?? "unknown"}`,
    rounds: plan.rounds,
    rows: results.map(resultRow),
  };
}

function resultRow(result: RowResult): ResultRow {
  const figure = (relay: RelayId, name: string): number | null => {
    const value = result.figures[relay]?.[name];
    return value === undefined ? null : rounded(value);
  };
  const hawser = figure("hawser", result.main);
  const reference = figure("reference", result.main);
  const tuned = figure("tuned", result.main);
  const more: Record<string, Partial<Record<RelayId, number>>> = {};
  for (const relay of RELAY_IDS) {
    for (const name of Object.keys(result.figures[relay] ?? {})) {
      const value = figure(relay, name);
      if (name !== result.main && value !== null) more[name] = { ...more[name], [relay]: value };
    }
  }
  return {
    id: result.id,
    unit: result.unit,
    hawser,
    reference,
    ratio: hawser === null || reference === null ? null : rounded(hawser / reference),
    ...(tuned === null ? {} : { tuned }),
    rounds: result.rounds,
    more,
  };
}

/** One line for each figure of each row; the main one first. */
function table(results: readonly RowResult[], relayIds: readonly RelayId[]): string {
  const lines = [["row", "figure", ...relayIds, "hawser/reference"]];
  for (const { id, main: mainFigure, figures } of results) {
    const names = Object.keys(figures[relayIds[0] ?? "hawser"] ?? {});
    const ordered = [mainFigure, ...names.filter((name) => name !== mainFigure)];
    for (const name of ordered) {
      const { label, divisor } = FIGURES[name] ?? { label: name, divisor: 1 };
      const shown = relayIds.map((relay) => {
        const value = figures[relay]?.[name];
        return value === undefined ? "-" : formatted(value / divisor);
      });
      const ours = figures.hawser?.[name];
      const theirs = figures.reference?.[name];
      const ratio = ours === undefined || theirs === undefined ? "-" : formatted(ours / theirs);
      lines.push([name === mainFigure ? id : "", label, ...shown, ratio]);
    }
  }
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => (line[column] ?? "").length)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, at) => (at < 2 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

function formatted(value: number): string {
  if (value >= 1_000) return Math.round(value).toLocaleString("en");
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(3);
}

try {
  await main();
} catch (error) {
  const cause =
    error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
  process.stderr.write(
    `bench: ${error instanceof Error ? error.message : String(error)}${cause}\n`,
  );
  process.exitCode = 1;
}
