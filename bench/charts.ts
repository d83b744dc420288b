/** `npm run bench:charts`: draws the charts of docs/capacity.md from the figures of a run. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { drawCharts } from "./support/charts.ts";
import { runCommand } from "./support/command.ts";
import { RELEASE_FOLDER, RESULTS_FOLDER, readFigures } from "./support/release.ts";

const HELP = `Usage: npm run bench:charts -- [options]

Draws one SVG a family of figures from latest.json and density.json, which npm run bench and npm run bench:density write.

Options:
  --from <folder>  of the JSON; default bench/results. docs/charts has the figures of the release
  --to <folder>    of the SVG; default docs/charts
  --help           this text

Examples:
  npm run bench:charts -- --to /tmp/charts   the last run, beside those of the release
  npm run bench:charts -- --from docs/charts --to /tmp/charts
`;

const options = {
  from: { type: "string", default: RESULTS_FOLDER },
  to: { type: "string", default: RELEASE_FOLDER },
} as const;

await runCommand({ name: "bench:charts", help: HELP, options }, ({ from, to }) => {
  const charts = drawCharts(readFigures(from));
  mkdirSync(to, { recursive: true });
  for (const [name, svg] of charts) writeFileSync(join(to, name), svg);
  process.stdout.write(`${[...charts.keys()].map((name) => join(to, name)).join("\n")}\n`);
});
