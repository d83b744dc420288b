import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FAMILIES, MEASURED_IDS } from "../../../bench/rows/families.ts";
import { FULL, withRounds } from "../../../bench/rows/plan.ts";
import { CHANGED, commitOf, rowsTable, withEarlierRows } from "../../../bench/rows/report.ts";
import { stormSample } from "../../../bench/rows/storm.ts";
import { gateOf, ROW_IDS, ROWS, type RowId } from "../../../bench/rows/table.ts";
import { type JudgedRow, judge } from "../../../bench/rows/verdict.ts";
import { directAnswer } from "../../../bench/support/direct-server.ts";
import { VoidRun } from "../../../bench/support/load.ts";
import { temporaryFolder } from "../../support/relay/start-relay.ts";
import { root } from "../../support/root.ts";

test("a row is measured by one family, and the printed order is the table's", () => {
  const measured = FAMILIES.flatMap(({ ids }) => ids);
  assert.equal(new Set(measured).size, measured.length);
  assert.deepEqual(
    MEASURED_IDS,
    ROW_IDS.filter((id) => measured.includes(id)),
  );
});

test("the page on performance has a line of its table for every row that is measured", () => {
  const page = readFileSync(join(root, "docs", "performance.md"), "utf8");
  const lines = page.split("\n").filter((line) => line.startsWith("| `"));
  const missing = MEASURED_IDS.filter((id) => !lines.some((line) => line.includes(`\`${id}\``)));
  assert.deepEqual(missing, []);
});

test("a gate lies on the bad side of the prototype unless it is one of its own, a goal does not ask for less than it unless the row says so", () => {
  // Their goals allow for work that the prototype left out: a check of the token, a whole product's share of a request.
  const milder: readonly RowId[] = ["small_vs_direct", "connect_cpu", "syscalls_c32"];
  for (const id of ROW_IDS) {
    const { better, conditions } = ROWS[id];
    const isBetter = (one: number, other: number): boolean =>
      better === "lower" ? one <= other : one >= other;
    for (const condition of conditions) {
      const { prototype, goal } = condition;
      const gate = gateOf(condition, better);
      if (condition.gate === undefined) {
        assert.ok(isBetter(prototype ?? goal, gate), `${id}: gate ${gate}`);
      } else {
        assert.ok(isBetter(goal, gate) && isBetter(gate, prototype ?? goal), `${id}: gate ${gate}`);
      }
      if (milder.includes(id)) assert.ok(prototype !== null && isBetter(prototype, goal), id);
      else assert.ok(isBetter(goal, prototype ?? goal), `${id}: goal ${goal}`);
    }
  }
});

test("half of what a long line gains is refused, although the prototype gained nothing", () => {
  const verdictOn = (mibPerS: number) =>
    judge({ id: "window_100ms", samples: { hawser: [{ mibPerS }], reference: [{ mibPerS: 2 }] } });
  assert.deepEqual([verdictOn(7.9).ok, verdictOn(8).ok, verdictOn(8).gate], [false, true, 4]);
  assert.deepEqual([verdictOn(15.9).goalMet, verdictOn(16).goalMet], [false, true]);
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

test("rows of an earlier result are kept when they are of the same commit, and never in place of new ones", () => {
  const rowOf = (id: RowId, value: number) => {
    const sample = { [ROWS[id].main]: value };
    return judge({ id, samples: { hawser: [sample], reference: [sample] } });
  };
  const file = (commit: string, ...rows: readonly JudgedRow[]) => {
    return { schema: 2, commit, node: "v1", cpu: "c", rounds: 1, rows } as const;
  };
  const earlier = file("a", rowOf("small_1dev_c128", 1), rowOf("down_1", 2));
  const now = file("a", rowOf("down_1", 3), rowOf("small_100dev_c1", 4));
  const shownRows = (result: { rows: readonly JudgedRow[] }) =>
    result.rows.map(({ id, hawser }) => [id, hawser]);
  assert.deepEqual(shownRows(withEarlierRows(now, earlier)), [
    ["small_1dev_c128", 1],
    ["small_100dev_c1", 4],
    ["down_1", 3],
  ]);
  const changed = { commit: `a${CHANGED}` };
  assert.deepEqual(shownRows(withEarlierRows({ ...now, ...changed }, { ...earlier, ...changed })), [
    ["small_100dev_c1", 4],
    ["down_1", 3],
  ]);
  for (const other of [{ ...earlier, commit: "b" }, { ...earlier, node: "v2" }, null]) {
    assert.deepEqual(shownRows(withEarlierRows(now, other)), [
      ["small_100dev_c1", 4],
      ["down_1", 3],
    ]);
  }
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

test("a number of rounds is that of every row", () => {
  const { rounds, idleRounds, stormRounds, windowRounds } = withRounds(FULL, 9);
  assert.deepEqual([rounds, idleRounds, stormRounds, windowRounds], [9, 9, 9, 9]);
});

test("a storm in which the API server left a call unanswered does not count", () => {
  const times = { endMs: 1, halfMs: 2, backMs: 3, refused: 0, relayCpuMs: 4 };
  const calls = { notedMs: 1, authorizeCalls: 1, reportCalls: 1, cpuMs: 1 };
  const probes = { probes: 9, probeP50Ms: 1, probeP99Ms: 1, probeMaxMs: 1 };
  const live = { storm: { p99Us: 20 }, quiet: { p99Us: 10 } };
  const stormWith = (probeFailures: number) =>
    stormSample({
      ...{ relay: "hawser", devices: 20, ...times, live },
      api: { ...calls, ...probes, probeFailures },
    });
  assert.equal(stormWith(0)["p99Ratio"], 2);
  assert.throws(() => stormWith(1), VoidRun);
});

test("figures of a commit say so where what was measured had changes", async (t) => {
  const folder = await temporaryFolder(t);
  const git = (...words: string[]): string =>
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@t.test", ...words], {
      cwd: folder,
      encoding: "utf8",
    }).trim();
  git("init", "-q");
  mkdirSync(join(folder, "src"));
  writeFileSync(join(folder, "src", "a.ts"), "1");
  git("add", "-A");
  git("commit", "-qm", "one");
  const commit = git("rev-parse", "HEAD");
  writeFileSync(join(folder, "notes"), "beside what is measured");
  assert.equal(commitOf(folder), commit);
  writeFileSync(join(folder, "src", "b.ts"), "2");
  assert.equal(commitOf(folder), `${commit} with changes`);
});
