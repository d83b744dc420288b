import assert from "node:assert/strict";
import { test } from "node:test";
import { FAMILIES, MEASURED_IDS } from "../../../bench/rows/families.ts";
import { rowsTable } from "../../../bench/rows/report.ts";
import { gateOf, ROW_IDS, ROWS, type RowId } from "../../../bench/rows/table.ts";
import { judge } from "../../../bench/rows/verdict.ts";
import { directAnswer } from "../../../bench/support/direct-server.ts";

test("a row is measured by one family, and the printed order is the table's", () => {
  const measured = FAMILIES.flatMap(({ ids }) => ids);
  assert.equal(new Set(measured).size, measured.length);
  assert.deepEqual(
    MEASURED_IDS,
    ROW_IDS.filter((id) => measured.includes(id)),
  );
});

test("a gate lies on the bad side of the prototype, a goal does not ask for less than it unless the row says so", () => {
  // Their goals allow for work that the prototype left out: a check of the token, a whole product's share of a request.
  const milder: readonly RowId[] = ["small_vs_direct", "connect_cpu", "syscalls_c32"];
  for (const id of ROW_IDS) {
    const { better, conditions } = ROWS[id];
    const isBetter = (one: number, other: number): boolean =>
      better === "lower" ? one <= other : one >= other;
    for (const condition of conditions) {
      const { prototype, goal } = condition;
      const gate = gateOf(condition, better);
      assert.ok(isBetter(prototype ?? goal, gate), `${id}: gate ${gate}`);
      if (milder.includes(id)) assert.ok(prototype !== null && isBetter(prototype, goal), id);
      else assert.ok(isBetter(goal, prototype ?? goal), `${id}: goal ${goal}`);
    }
  }
});

const cpu = (...values: number[]) => values.map((cpuUs) => ({ cpuUs, rps: 10 * cpuUs }));

test("a verdict is of the ratio of two medians", () => {
  const row = judge({
    id: "small_1dev_c128",
    samples: { hawser: cpu(19, 17, 18), reference: cpu(90, 100, 500) },
  });
  assert.deepEqual([row.hawser, row.reference, row.ratio, row.rounds], [18, 100, 0.18, 3]);
  assert.deepEqual([row.ok, row.goalMet], [true, false]);
  assert.deepEqual(row.samples, { hawser: [19, 17, 18], reference: [90, 100, 500] });
  assert.deepEqual(row.more, { rps: { hawser: 180, reference: 1_000 } });
  assert.match(
    rowsTable([row]),
    /^row .*\nsmall_1dev_c128 .* 18\.0 +100 +0\.180 .* yes +0\.170 +no\n$/,
  );
});

test("a limit that is just met holds, and one that is just missed does not", () => {
  const gate = gateOf(ROWS.small_1dev_c128.conditions[0], "lower");
  for (const [hawser, ok] of [
    [1_000 * gate, true],
    [1_000 * gate + 1, false],
  ] as const) {
    const samples = { hawser: cpu(hawser), reference: cpu(1_000) };
    assert.equal(judge({ id: "small_1dev_c128", samples }).ok, ok);
  }
  const rates = (value: number) => [{ rps: value }];
  const enough = judge({
    id: "rps_1dev_c32",
    samples: { hawser: rates(4.5), reference: rates(1) },
  });
  assert.deepEqual([enough.ok, enough.goalMet], [true, true]);
  const short = judge({ id: "rps_1dev_c32", samples: { hawser: rates(3), reference: rates(1) } });
  assert.deepEqual([short.ok, short.goalMet], [false, false]);
});

test("every condition of a row must hold", () => {
  const of = (hawser: number, reference: number) =>
    judge({
      id: "idle_rss",
      samples: { hawser: [{ rssBytes: hawser }], reference: [{ rssBytes: reference }] },
    });
  assert.deepEqual([of(1_600, 40_000).ok, of(1_600, 40_000).goalMet], [true, true]);
  assert.equal(of(1_600, 10_000).ok, false);
  assert.equal(of(3_000, 100_000).ok, false);
  assert.equal(rowsTable([of(3_000, 100_000)]).split("\n").length, 4);
});

test("a row whose other side was not measured is not said to hold", () => {
  const row = judge({ id: "small_1dev_c128", samples: { hawser: cpu(1) } });
  assert.deepEqual([row.hawser, row.reference, row.ratio, row.ok], [1, null, null, false]);
});

test("a direct answer leaves out what its server writes by itself", () => {
  const head =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nvia: 1.1 a\r\nDate: now\r\nContent-Length: 2";
  assert.deepEqual(directAnswer(`${head}\r\n\r\nhi`), {
    status: "200 OK",
    fields: [
      ["Content-Type", "text/plain"],
      ["via", "1.1 a"],
    ],
    body: "hi",
  });
  assert.throws(() => directAnswer(head.slice(0, 20)), /no answer to give/);
});
