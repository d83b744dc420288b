/**
 * `npm run bench:capacity`: makes the figures of a run those of the release: copies them beside the charts, draws the charts, and fills
 * docs/capacity.md from them.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { root } from "../test/support/root.ts";
import { ROW_IDS } from "./rows/table.ts";
import { capacityParts, withParts } from "./support/capacity-page.ts";
import { drawCharts } from "./support/charts.ts";
import { note, runCommand } from "./support/command.ts";
import { FIGURE_FILES, RELEASE_FOLDER, RESULTS_FOLDER, readFigures } from "./support/release.ts";

const HELP = `Usage: npm run bench:capacity -- [options]

Takes latest.json and density.json, which npm run bench and npm run bench:density write, as the figures of the release:
copies them to docs/charts, draws the charts there, and fills docs/capacity.md.

Options:
  --from <folder>  default bench/results; docs/charts draws and fills anew from the figures that are there
  --help           this text

Examples:
  npm run bench:capacity                         after npm run bench and npm run bench:density
  npm run bench:capacity -- --from docs/charts   after a change of the page's text or of the charts
`;

const PAGE = join(root, "docs", "capacity.md");

const options = { from: { type: "string", default: RESULTS_FOLDER } } as const;

await runCommand({ name: "bench:capacity", help: HELP, options }, ({ from }) => {
  const figures = readFigures(from);
  const { rows, density } = figures;
  const missing = ROW_IDS.filter((id) => !rows.rows.some((row) => row.id === id));
  if (missing.length > 0)
    note(`latest.json has no ${missing.join(", ")}: the page has no figure there`);
  for (const name of ["commit", "node", "cpu"] as const) {
    if (rows[name] !== density[name]) {
      note(`the ${name} of latest.json is ${rows[name]}, that of density.json ${density[name]}`);
    }
  }
  mkdirSync(RELEASE_FOLDER, { recursive: true });
  for (const name of FIGURE_FILES) {
    const target = join(RELEASE_FOLDER, name);
    if (resolve(from, name) !== target) copyFileSync(join(from, name), target);
  }
  for (const [name, svg] of drawCharts(figures)) writeFileSync(join(RELEASE_FOLDER, name), svg);
  writeFileSync(PAGE, withParts(readFileSync(PAGE, "utf8"), capacityParts(figures)));
  process.stdout.write("docs/capacity.md and docs/charts are those of these figures\n");
});
