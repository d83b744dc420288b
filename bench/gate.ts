/**
 * `npm run bench:gate`: refuses a build that is slower than main, allocates more, copies more or calls the system more often.
 * docs/performance.md says what it compares and how a failure is read.
 */
import { parseArgs } from "node:util";
import { measureFigures } from "./gate/measure.ts";
import { GATE_IDS, type GateId } from "./gate/table.ts";
import { adviceOn, type GateVerdict, gateTable, gateVerdict } from "./gate/verdict.ts";
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

const note = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

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

function failure(sentence: string): void {
  process.stderr.write(`bench:gate: ${sentence}\n`);
  process.exitCode = 2;
}

async function main(): Promise<void> {
  const { values: flags } = parseArgs({
    options: {
      only: { type: "string", multiple: true, default: [] },
      seconds: { type: "string", default: "300" },
      "base-against-base": { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (flags.help) {
    process.stdout.write(HELP);
    return;
  }
  const unknown = flags.only.find((id) => !GATE_IDS.some((known) => known === id));
  if (unknown !== undefined) return failure(`--only ${unknown}: known are ${GATE_IDS.join(", ")}`);
  const seconds = Number(flags.seconds);
  const runs = Number(flags["base-against-base"] ?? 1);
  if (!(seconds > 0) || !Number.isInteger(runs) || runs < 1) {
    return failure("--seconds and --base-against-base take a number above 0");
  }
  const ids = flags.only.length === 0 ? GATE_IDS : GATE_IDS.filter((id) => flags.only.includes(id));
  if (flags["base-against-base"] !== undefined) return spreads(ids, runs, flags.json);
  const startedAt = performance.now();
  const verdicts = await judged(ids, startedAt + 1_000 * seconds);
  const failed = verdicts.filter(({ ok }) => !ok);
  const tookSeconds = Math.round((performance.now() - startedAt) / 1_000);
  const names = failed.map(({ id }) => id);
  const result = { node: process.version, tookSeconds, failed: names, figures: verdicts };
  process.stdout.write(flags.json ? `${JSON.stringify(result)}\n` : gateTable(verdicts));
  for (const verdict of failed) process.stderr.write(`bench:gate: ${adviceOn(verdict)}\n`);
  const verdict = failed.length > 0 ? `failed: ${names.join(", ")}` : "passed";
  process.stderr.write(`bench:gate: ${verdict}, after ${tookSeconds} s\n`);
  if (failed.length > 0) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : "";
  failure(`${error instanceof Error ? error.message : String(error)} ${cause}`.trim());
}
