/**
 * `npm run bench:capacity`: makes the figures of a run those of the release: copies them beside the charts, draws the charts, and fills
 * docs/capacity.md from them.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { root } from "../test/support/root.ts";
import { capacityParts, withParts } from "./support/capacity-page.ts";
import { drawCharts } from "./support/charts.ts";
import { FIGURE_FILES, RELEASE_FOLDER, RESULTS_FOLDER, readFigures } from "./support/release.ts";

const HELP = `Usage: npm run bench:capacity -- [options]

Takes latest.json and density.json, which npm run bench and npm run bench:density write, as the figures of the release:
copies them to docs/charts, draws the charts there, and fills docs/capacity.md.

Options:
  --from <folder>  default bench/results; docs/charts draws and fills anew from the figures that are there
  --help           this text
`;

const PAGE = join(root, "docs", "capacity.md");

const { values } = parseArgs({
  options: {
    from: { type: "string", default: RESULTS_FOLDER },
    help: { type: "boolean", default: false },
  },
});
try {
  if (values.help) process.stdout.write(HELP);
  else {
    const figures = readFigures(values.from);
    mkdirSync(RELEASE_FOLDER, { recursive: true });
    for (const name of FIGURE_FILES) {
      const target = join(RELEASE_FOLDER, name);
      if (resolve(values.from, name) !== target) copyFileSync(join(values.from, name), target);
    }
    for (const [name, svg] of drawCharts(figures)) writeFileSync(join(RELEASE_FOLDER, name), svg);
    writeFileSync(PAGE, withParts(readFileSync(PAGE, "utf8"), capacityParts(figures)));
    process.stdout.write("docs/capacity.md and docs/charts are those of these figures\n");
  }
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
