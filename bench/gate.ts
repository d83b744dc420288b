/**
 * `npm run bench:gate`: refuses a build that is slower than main, allocates more, copies more or calls the system more often.
 * docs/performance.md says what it compares and how a failure is read.
 */
import { measureFigures } from "./gate/measure.ts";
import { GATE_IDS, type GateId } from "./gate/table.ts";
import { adviceOn, type GateVerdict, gateTable, gateVerdict } from "./gate/verdict.ts";
import {
  chosenOf,
  type FlagsOf,
  note,
  positiveNumber,
  runCommand,
  SEVERAL,
  wholeNumber,
} from "./support/command.ts";
import { median, rounded } from "./support/stats.ts";

const HELP = `Usage: npm run bench:gate -- [options]

Measures ratios and counts, compares them with those of main (bench/gate/table.ts), measures what fails a second
time, and ends with exit code 1 and the names of what failed twice. Needs wrk, gcc, Go and strace.

Options:
  --only <id>              one figure; may be given again. Figures:
                           ${GATE_IDS.join(", ").replace(/(.{60,80}), /g, "$1,\n                           ")}
  --seconds <n>            most that it may take (default 300); a figure that fails with no time left has failed
  --base-against-base <n>  measures this build n times, prints the spread of each figure, and judges nothing
  --json                   print JSON
  --help                   this text

Examples:
  npm run bench:gate                                        the gate of CI
  npm run bench:gate -- --only copied_up --only decode_go   two figures
  npm run bench:gate -- --base-against-base 5               where tolerances come from
`;

/** A figure that fails is measured once more, by itself. */
async function judged(ids: readonly GateId[], deadlineMs: number): Promise<GateVerdict[]> {
  const startedAt = performance.now();
  const first = await measureFigures(ids, note);
  const verdicts = ids.map((id) => gateVerdict(id, first.get(id) ?? Number.NaN));
  const failed = verdicts.filter(({ ok }) => !ok).map(({ id }) => id);
  if (failed.length === 0) return verdicts;
  const tookMs = performance.now() - startedAt;
  const share = failed.length / ids.length;
  if (performance.now() + share * tookMs > deadlineMs) {
    note(`no time to measure again: ${failed.join(", ")}`);
    return verdicts;
  }
  note(`measuring again: ${failed.join(", ")}`);
  const second = await measureFigures(failed, note);
  return verdicts.map((verdict) =>
    verdict.ok ? verdict : gateVerdict(verdict.id, second.get(verdict.id) ?? Number.NaN, true),
  );
}

async function spreads(ids: readonly GateId[], runs: number, json: boolean): Promise<void> {
  const taken = new Map<GateId, number[]>(ids.map((id) => [id, []]));
  for (let run = 1; run <= runs; run++) {
    note(`run ${run} of ${runs}`);
    for (const [id, value] of await measureFigures(ids, note)) taken.get(id)?.push(value);
  }
  const rows = [...taken].map(([id, values]) => {
    const middle = median(values);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    return { id, least, middle, most, spread: (most - least) / middle, values };
  });
  if (json) process.stdout.write(`${JSON.stringify({ runs, rows })}\n`);
  else {
    for (const { id, least, middle, most, spread } of rows) {
      const cells = [least, middle, most].map((value) => String(rounded(value)).padStart(9));
      process.stdout.write(`${id.padEnd(22)}${cells.join("")}  ${(100 * spread).toFixed(1)} %\n`);
    }
  }
}

const options = {
  only: SEVERAL,
  seconds: { type: "string", default: "300" },
  "base-against-base": { type: "string" },
  json: { type: "boolean", default: false },
} as const;

async function main(flags: FlagsOf<typeof options>): Promise<void> {
  const ids = chosenOf("--only", flags.only, GATE_IDS);
  const seconds = positiveNumber("--seconds", flags.seconds);
  const runs = flags["base-against-base"];
  if (runs !== undefined) {
    return spreads(ids, wholeNumber("--base-against-base", runs), flags.json);
  }
  const startedAt = performance.now();
  const verdicts = await judged(ids, startedAt + 1_000 * seconds);
  const failed = verdicts.filter(({ ok }) => !ok);
  const tookSeconds = Math.round((performance.now() - startedAt) / 1_000);
  const names = failed.map(({ id }) => id);
  const result = { node: process.version, tookSeconds, failed: names, figures: verdicts };
  process.stdout.write(flags.json ? `${JSON.stringify(result)}\n` : gateTable(verdicts));
  for (const verdict of failed) note(`bench:gate: ${adviceOn(verdict)}`);
  const verdict = failed.length > 0 ? `failed: ${names.join(", ")}` : "passed";
  note(`bench:gate: ${verdict}, after ${tookSeconds} s`);
  if (failed.length > 0) process.exitCode = 1;
}

// 1 says that a figure failed, and nothing else.
await runCommand({ name: "bench:gate", help: HELP, options, failureCode: 2 }, main);
