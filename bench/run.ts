/**
 * `npm run bench`: the same load against Hawser's relay and against what it is compared with, in turn, in one run.
 * docs/performance.md says what each row measures and how.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../test/support/root.ts";
import { MEASURED_IDS, measureRows } from "./rows/families.ts";
import { FULL, QUICK, withRounds } from "./rows/plan.ts";
import { type ResultFile, resultFile, rowsTable, withEarlierRows } from "./rows/report.ts";
import type { Plan } from "./rows/row.ts";
import type { RowId } from "./rows/table.ts";
import { judge } from "./rows/verdict.ts";
import {
  chosenOf,
  type FlagsOf,
  note,
  runCommand,
  SEVERAL,
  wholeNumber,
} from "./support/command.ts";
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
  --rounds <n>     rounds of each row, but for syscalls_c32, a count
  --relay <id>     measure only these relays (${RELAY_IDS.join(", ")}); may be given again. Default: hawser, reference.
                   tuned is the Go relay with 64 KiB buffers, kept beside the others in the JSON
  --keep           keep those rows of latest.json that this run does not measure, if they are of this commit and machine
  --pin            half of the cores for the relay, the other half for devices and clients (taskset)
  --json           print the JSON instead of the table
  --help           this text

Examples:
  npm run bench                                          every row
  npm run bench -- --only up_1 --only up_rate_1          two rows of one load
  npm run bench -- --keep --only idle_rss                one row anew, the others as they are
  npm run bench -- --quick --only small_p99_c32 --json   a short look, as JSON
`;

const options = {
  quick: { type: "boolean", default: false },
  only: SEVERAL,
  rounds: { type: "string" },
  relay: SEVERAL,
  keep: { type: "boolean", default: false },
  pin: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

async function main(flags: FlagsOf<typeof options>): Promise<void> {
  const byDefault = flags.quick ? QUICK_IDS : MEASURED_IDS;
  const rowIds = chosenOf("--only", flags.only, MEASURED_IDS, byDefault);
  const relayIds = chosenOf("--relay", flags.relay, RELAY_IDS, ["hawser", "reference"]);
  const plan = planOf(flags.quick ? QUICK : FULL, flags.rounds);
  const tools = await prepareTools(flags.pin ? pinnedByHalves() : UNPINNED);
  touchPageCache(WORK_FOLDER);
  const rows = (await measureRows(rowIds, { tools, plan, relayIds, note })).map(judge);
  const folder = join(root, "bench", "results");
  const path = join(folder, "latest.json");
  const measured = resultFile(plan.rounds, rows);
  const file = flags.keep ? withEarlierRows(measured, earlierResult(path)) : measured;
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, `${JSON.stringify(file, null, 2)}\n`);
  process.stdout.write(flags.json ? `${JSON.stringify(file)}\n` : rowsTable(file.rows));
}

function earlierResult(path: string): ResultFile | null {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : null;
}

function planOf(base: Plan, given: string | undefined): Plan {
  return given === undefined ? base : withRounds(base, wholeNumber("--rounds", given));
}

await runCommand({ name: "bench", help: HELP, options }, main);
