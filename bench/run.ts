/**
 * `npm run bench`: the same load against Hawser's relay and against what it is compared with, in turn, in one run.
 * docs/performance.md says what each row measures and how.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "../test/support/root.ts";
import { MEASURED_IDS, measureRows } from "./rows/families.ts";
import { FULL, QUICK } from "./rows/plan.ts";
import { resultFile, rowsTable } from "./rows/report.ts";
import type { Plan } from "./rows/row.ts";
import type { RowId } from "./rows/table.ts";
import { judge } from "./rows/verdict.ts";
import { touchPageCache } from "./support/page-cache.ts";
import { RELAY_IDS } from "./support/relays.ts";
import { pinnedByHalves, prepareTools, UNPINNED, WORK_FOLDER } from "./support/tools.ts";

/** What `--quick` measures where no row is named. */
const QUICK_IDS: readonly RowId[] = [
  "small_1dev_c128",
  "small_100dev_c128",
  "down_1",
  "up_1",
  "idle_rss",
];

const HELP = `Usage: npm run bench -- [options]

Runs the same load against Hawser's relay and against what each row compares it with, in turn, prints the table of
figures, gates and goals, and writes bench/results/latest.json. Needs wrk, gcc and Go. Leave the machine alone meanwhile.

Options:
  --only <id>      one row; may be given again. Rows:
                   ${MEASURED_IDS.join(", ").replace(/(.{70,90}), /g, "$1,\n                   ")}
  --quick          fewer and shorter rounds; without --only, ${QUICK_IDS.length} rows in at most 3 minutes:
                   ${QUICK_IDS.join(", ")}
  --rounds <n>     rounds of each row
  --relay <id>     measure only these relays (${RELAY_IDS.join(", ")}); may be given again. Default: hawser, reference.
                   tuned is the Go relay with 64 KiB buffers, kept beside the others in the JSON
  --pin            half of the cores for the relay, the other half for devices and clients (taskset)
  --json           print the JSON instead of the table
  --help           this text

Examples:
  npm run bench                                          every row
  npm run bench -- --only up_1 --only up_rate_1          two rows of one load
  npm run bench -- --quick --only small_p99_c32 --json   a short look, as JSON
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string", multiple: true, default: [] },
      rounds: { type: "string" },
      relay: { type: "string", multiple: true, default: [] },
      pin: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const byDefault = values.quick ? QUICK_IDS : MEASURED_IDS;
  const rowIds = chosen("--only", values.only, MEASURED_IDS, byDefault);
  const relayIds = chosen("--relay", values.relay, RELAY_IDS, ["hawser", "reference"]);
  const plan = planOf(values.quick ? QUICK : FULL, values.rounds);
  const note = (text: string): void => {
    process.stderr.write(`${text}\n`);
  };
  const tools = await prepareTools(values.pin ? pinnedByHalves() : UNPINNED);
  touchPageCache(WORK_FOLDER);
  const rows = (await measureRows(rowIds, { tools, plan, relayIds, note })).map(judge);
  const file = resultFile(plan.rounds, rows);
  const folder = join(root, "bench", "results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "latest.json"), `${JSON.stringify(file, null, 2)}\n`);
  process.stdout.write(values.json ? `${JSON.stringify(file)}\n` : rowsTable(rows));
}

function planOf(base: Plan, given: string | undefined): Plan {
  if (given === undefined) return base;
  const rounds = Number(given);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds takes a number from 1");
  return { ...base, rounds, idleRounds: rounds, windowRounds: rounds };
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
