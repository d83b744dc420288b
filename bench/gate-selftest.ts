/** `npm run bench:gate:selftest`: makes the build worse on purpose, and shows that the gate refuses it for the right figure. */
import { REGRESSIONS, runRegression, type SelftestResult } from "./gate/selftest.ts";
import { chosenOf, type FlagsOf, note, runCommand, SEVERAL } from "./support/command.ts";

const HELP = `Usage: npm run bench:gate:selftest -- [options]

Runs the gate on builds with a regression made on purpose, and ends with exit code 1 where the gate lets one pass or
refuses it for another figure. Takes a minute.

Options:
  --only <name>   one regression; may be given again: ${REGRESSIONS.map(({ name }) => name).join(", ")}
  --json          print JSON
  --help          this text

Examples:
  npm run bench:gate:selftest                          every regression
  npm run bench:gate:selftest -- --only copy-per-chunk one
`;

const options = {
  only: SEVERAL,
  json: { type: "boolean", default: false },
} as const;

async function main(flags: FlagsOf<typeof options>): Promise<void> {
  const names = chosenOf(
    "--only",
    flags.only,
    REGRESSIONS.map(({ name }) => name),
  );
  const results: SelftestResult[] = [];
  for (const regression of REGRESSIONS) {
    if (!names.includes(regression.name)) continue;
    note(`the gate with ${regression.what}`);
    results.push(await runRegression(regression));
  }
  process.stdout.write(flags.json ? `${JSON.stringify(results)}\n` : results.map(lineOf).join(""));
  if (results.some(({ ok }) => !ok)) process.exitCode = 1;
}

function lineOf({ regression, failed, ok }: SelftestResult): string {
  const verdict = ok ? "refused" : "NOT AS IT SHOULD BE";
  const told = `wanted ${regression.fails.join(", ")}; failed ${failed.join(", ") || "nothing"}`;
  return `${regression.name.padEnd(22)} ${verdict}: ${told}\n`;
}

await runCommand({ name: "bench:gate:selftest", help: HELP, options, failureCode: 2 }, main);
