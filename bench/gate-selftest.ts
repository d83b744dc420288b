/** `npm run bench:gate:selftest`: makes the build worse on purpose, and shows that the gate refuses it for the right figure. */
import { parseArgs } from "node:util";
import { REGRESSIONS, runRegression, type SelftestResult } from "./gate/selftest.ts";

const HELP = `Usage: npm run bench:gate:selftest -- [options]

Runs the gate on builds with a regression made on purpose, and ends with exit code 1 where the gate lets one pass or
refuses it for another figure. Takes a few minutes.

Options:
  --only <name>   one regression; may be given again: ${REGRESSIONS.map(({ name }) => name).join(", ")}
  --json          print JSON
  --help          this text
`;

const { values: flags } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [] },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const unknown = flags.only.find((wanted) => !REGRESSIONS.some(({ name }) => name === wanted));
if (flags.help) {
  process.stdout.write(HELP);
} else if (unknown !== undefined) {
  process.stderr.write(`--only ${unknown}: see --help\n`);
  process.exitCode = 2;
} else {
  const results: SelftestResult[] = [];
  for (const regression of REGRESSIONS) {
    if (flags.only.length > 0 && !flags.only.includes(regression.name)) continue;
    process.stderr.write(`the gate with ${regression.what}\n`);
    results.push(await runRegression(regression));
  }
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(results)}\n`);
  } else {
    for (const { regression, failed, ok } of results) {
      const verdict = ok ? "refused" : "NOT AS IT SHOULD BE";
      const told = `wanted ${regression.fails.join(", ")}; failed ${failed.join(", ") || "nothing"}`;
      process.stdout.write(`${regression.name.padEnd(22)} ${verdict}: ${told}\n`);
    }
  }
  if (results.some(({ ok }) => !ok)) process.exitCode = 1;
}
