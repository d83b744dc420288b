import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Chart, drawBars } from "../../../bench/support/bars.ts";
import { capacityParts, withParts } from "../../../bench/support/capacity-page.ts";
import { chartsOf, drawCharts } from "../../../bench/support/charts.ts";
import { devicesOf, fileLimit } from "../../../bench/support/file-limit.ts";
import { RELEASE_FOLDER, readFigures } from "../../../bench/support/release.ts";
import { someFigures } from "../../support/figures.ts";
import { root } from "../../support/root.ts";

const PAGE = readFileSync(join(root, "docs", "capacity.md"), "utf8");

test("capacity: the page and its charts are those of the figures beside them (npm run bench:capacity)", () => {
  const figures = readFigures(RELEASE_FOLDER);
  assert.equal(withParts(PAGE, capacityParts(figures)), PAGE);
  for (const [name, svg] of drawCharts(figures)) {
    assert.equal(readFileSync(join(RELEASE_FOLDER, name), "utf8"), svg, name);
    assert.ok(PAGE.includes(`](charts/${name})`), `docs/capacity.md does not show ${name}`);
  }
});

test("capacity: parts take the place of those of other figures, and a page without their place is refused", () => {
  const page = withParts(PAGE, capacityParts(someFigures()));
  assert.notEqual(page, PAGE);
  assert.match(page, /\| bytes per tunnel after one request \| 1,600 \| 29,000 \|/);
  assert.match(page, /\| CPU µs per small request, 1 device \| – \| – \|/);
  // 4,000 requests of 20 µs; 15,000 devices, of which 1,000 take 0.5 % of a core.
  assert.match(page, /\| 4,000 requests\/s \| 0\.080 \|/);
  assert.match(page, /\| 15,000 devices \| 0\.075 \|/);
  const { rows, density } = someFigures();
  const lacking = { density, rows: { ...rows, rows: rows.rows.filter(({ id }) => id !== "up_1") } };
  const other = withParts(PAGE, capacityParts(lacking));
  assert.match(other, /Not every cost above was measured/);
  assert.doesNotMatch(other, /\| 15,000 devices \|/);
  assert.throws(() => withParts("nothing", new Map([["figures", ""]])), /no markers of "figures"/);
});

test("capacity: the page says how many rounds its rows had, and whether a commit had changes", () => {
  const { rows, density } = someFigures();
  const [first, ...others] = rows.rows;
  assert.ok(first !== undefined && first.rounds === 1);
  const takenWith = (commit: string, rounds: number): string | undefined => {
    const some = { ...rows, commit, rows: [{ ...first, rounds }, ...others] };
    return capacityParts({ density, rows: some }).get("taken");
  };
  assert.match(
    takenWith("0123456789abcdef", 5) ?? "",
    /`0123456789ab`, .*; medians of 1 to 5 rounds/,
  );
  assert.match(
    takenWith("0123456789abcdef with changes", 1) ?? "",
    /`0123456789ab` with changes, /,
  );
});

test("charts: a family a chart, with what was not measured left out", () => {
  const charts = chartsOf(someFigures());
  assert.deepEqual(
    charts.map(({ name }) => name),
    ["requests", "latency", "bodies", "rates", "memory", "storm"],
  );
  const svg = drawBars(charts[0] as Chart);
  assert.equal(svg.match(/<rect class="a"/g)?.length, 2, "one bar and one mark of the legend");
  assert.match(svg, />20<\/text>/);
  assert.match(svg, />80<\/text>/);
  assert.doesNotMatch(svg, /NaN|undefined|null/);
});

test("charts: bars are as long as their values, the longest as long as there is room, and text is no markup", () => {
  const svg = drawBars({
    name: "x",
    title: "a < b & c",
    unit: "µs",
    groups: [
      { label: "<script>", values: [50, 100] },
      { label: "none", values: [null, null] },
      { label: "nil", values: [0, null] },
    ],
  });
  const widths = [...svg.matchAll(/<rect class="[ab]" x="264" y="\d+" width="([\d.]+)"/g)];
  assert.deepEqual(
    widths.map(([, width]) => Number(width)),
    [210, 420, 1],
  );
  assert.doesNotMatch(svg, /<script>|>none</);
  assert.match(svg, /a &#60; b &#38; c/);
});

test("charts: figures of another schema, and missing ones, are refused with the command that makes them", () => {
  assert.throws(() => readFigures(join(root, "docs", "adr")), /make it by `npm run bench`/);
});

test("density: more devices than the limit of open files allows are refused", () => {
  assert.equal(devicesOf("15000", 20, 20_000), 15_000);
  assert.equal(devicesOf("19500", 20, 20_000), 19_500);
  assert.throws(() => devicesOf("19501", 20, 20_000), /19501 devices need 20001 open files/);
  for (const text of ["19", "1.5", "many", ""]) {
    assert.throws(() => devicesOf(text, 20, 20_000), /takes a whole number from 20/);
  }
  assert.ok(fileLimit() > 0);
});
