/** `npm run bench:charts`: draws the charts of docs/capacity.md from the figures of a run. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { drawCharts } from "./support/charts.ts";
import { RELEASE_FOLDER, RESULTS_FOLDER, readFigures } from "./support/release.ts";

const HELP = `Usage: npm run bench:charts -- [options]

Draws one SVG a family of figures from latest.json and density.json, which npm run bench and npm run bench:density write.

Options:
  --from <folder>  of the JSON; default bench/results. docs/charts has the figures of the release
  --to <folder>    of the SVG; default docs/charts
  --help           this text
`;

const { values } = parseArgs({
  options: {
    from: { type: "string", default: RESULTS_FOLDER },
    to: { type: "string", default: RELEASE_FOLDER },
    help: { type: "boolean", default: false },
  },
});
try {
  if (values.help) process.stdout.write(HELP);
  else {
    const charts = drawCharts(readFigures(values.from));
    mkdirSync(values.to, { recursive: true });
    for (const [name, svg] of charts) writeFileSync(join(values.to, name), svg);
    process.stdout.write(`${[...charts.keys()].map((name) => join(values.to, name)).join("\n")}\n`);
  }
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
