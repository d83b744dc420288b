/**
 * `npm run bench:matrix`: every kind of request over few and many connections and devices, every answer compared. Its figures
 * are coarse; the published ones come from `npm run bench`.
 */
import { runMatrix, type ScenarioResult } from "./matrix/run-matrix.ts";
import { SCENARIOS, scenarioName } from "./matrix/scenario.ts";
import { shown } from "./rows/report.ts";
import {
  chosenOf,
  type FlagsOf,
  note,
  runCommand,
  SEVERAL,
  wholeNumber,
} from "./support/command.ts";
import { rounded } from "./support/stats.ts";
import { makeWorkFolder } from "./support/tools.ts";

const HELP = `Usage: npm run bench:matrix -- [options]

Runs ${SCENARIOS.length} scenarios in turn. At the relay's edge: a small GET, a GET of 64 KiB, a POST of 1 KiB and one of 64 KiB, each over
1 and 32 connections, to 1 and 20 devices. Through the API server: a small GET and a POST of 1 KiB to 1 device. Every answer is
compared. Any error, timeout, status other than 200 or wrong body ends it with exit code 1.

Options:
  --only <name>    one scenario; may be given again. For example ${SCENARIOS[0] === undefined ? "" : scenarioName(SCENARIOS[0])}
  --seconds <n>    seconds of each scenario (default 3)
  --json           print JSON instead of the table
  --help           this text

Examples:
  npm run bench:matrix
  npm run bench:matrix -- --only api_get_small_1dev_c32 --only get_small_1dev_c32
  npm run bench:matrix -- --only post_64k_20dev_c32 --seconds 10
`;

const options = {
  only: SEVERAL,
  seconds: { type: "string", default: "3" },
  json: { type: "boolean", default: false },
} as const;

async function main(flags: FlagsOf<typeof options>): Promise<void> {
  const seconds = wholeNumber("--seconds", flags.seconds);
  const names = chosenOf("--only", flags.only, SCENARIOS.map(scenarioName));
  const asked = SCENARIOS.filter((scenario) => names.includes(scenarioName(scenario)));
  makeWorkFolder();
  const results = await runMatrix(asked, { seconds }, note);
  process.stdout.write(flags.json ? `${JSON.stringify(asJson(results))}\n` : table(results));
}

function asJson(results: readonly ScenarioResult[]): object {
  const scenarios = results.map((result) => {
    const figures = Object.entries(result).map(([name, value]) => {
      return [name, typeof value === "number" ? rounded(value) : value] as const;
    });
    return Object.fromEntries(figures);
  });
  return { schema: 1, node: process.version, scenarios };
}

function table(results: readonly ScenarioResult[]): string {
  const lines = [
    ["scenario", "requests", "requests/s", "MiB/s", "p50 ms", "p99 ms", "max ms"],
    ...results.map(({ scenario, requests, rps, mibPerS, p50Ms, p99Ms, maxMs }) => {
      return [scenario, ...[requests, rps, mibPerS, p50Ms, p99Ms, maxMs].map(shown)];
    }),
  ];
  return lines
    .map(
      ([name = "", ...cells]) =>
        `${name.padEnd(24)}${cells.map((cell) => cell.padStart(12)).join("")}\n`,
    )
    .join("");
}

await runCommand({ name: "bench:matrix", help: HELP, options }, main);
