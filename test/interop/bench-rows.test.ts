import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { measureRows } from "../../bench/rows/families.ts";
import { measureTunnels } from "../../bench/rows/idle.ts";
import { TINY } from "../../bench/rows/plan.ts";
import type { RowId } from "../../bench/rows/table.ts";
import { type JudgedRow, judge } from "../../bench/rows/verdict.ts";
import { prepareTools } from "../../bench/support/tools.ts";
import { skipWithout } from "../support/go.ts";
import { childrenOf } from "../support/process/children.ts";
import { temporaryFolder } from "../support/relay/start-relay.ts";

/** The rows of the bench, run so small that their figures say nothing: that they still run, and from one load. */

const needed = { skip: skipWithout("wrk", "gcc", "go"), timeout: 55_000 };

async function measure(t: TestContext, asked: readonly RowId[]): Promise<readonly JudgedRow[]> {
  const tools = await prepareTools();
  const note = (text: string): void => t.diagnostic(text);
  const context = { tools, plan: TINY, relayIds: ["hawser", "reference"], note } as const;
  const rows = (await measureRows(asked, context)).map(judge);
  assert.deepEqual(
    rows.map(({ id }) => id),
    asked,
  );
  for (const { id, hawser, reference } of rows) {
    assert.ok(Number.isFinite(hawser), `${id}: ${hawser}`);
    assert.ok(Number.isFinite(reference), `${id}: ${reference}`);
  }
  return rows;
}

test(
  "small requests, beside the Go relay and beside a direct answer, come from one load",
  needed,
  async (t) => {
    const [small, direct] = await measure(t, ["small_1dev_c128", "small_vs_direct"]);
    assert.deepEqual(small?.samples.hawser, direct?.samples.hawser);
    assert.notDeepEqual(small?.samples.reference, direct?.samples.reference);
  },
);

test("the rates and latencies of 32 connections come from one load", needed, async (t) => {
  const [rate, p99] = await measure(t, ["rps_1dev_c32", "small_p99_c32"]);
  assert.equal(rate?.more["p99Us"]?.hawser, p99?.hawser);
});

test("a stock Go device serves the load of small requests", needed, async (t) => {
  await measure(t, ["small_godev_c128"]);
});

test("bodies in both directions, one and 8 at once", needed, async (t) => {
  await measure(t, ["down_8", "up_1", "up_rate_1"]);
});

test("idle tunnels, their memory and their connects", needed, async (t) => {
  await measure(t, ["idle_rss", "connect_cpu"]);
});

test("tunnels are used when those of every relay are up", needed, async (t) => {
  const tools = await prepareTools();
  const note = (text: string): void => t.diagnostic(text);
  const context = { tools, plan: TINY, relayIds: ["hawser", "reference"], note } as const;
  const fleets: number[] = [];
  await measureTunnels(["touched_rss"], context, async () => {
    const devices = childrenOf(process.pid).filter(({ command }) => command.includes("--tokens"));
    fleets.push(devices.length);
  });
  // Of each relay those that are warm, and the fleet.
  assert.deepEqual(fleets, [4, 4]);
});

test("tunnels that have each carried a request", needed, async (t) => {
  await measure(t, ["touched_rss"]);
});

test("a fleet that comes back, with requests meanwhile and at rest", needed, async (t) => {
  const [storm] = await measure(t, ["storm"]);
  for (const side of ["hawser", "reference"] as const) {
    const ratio = storm?.more["p99Ratio"]?.[side] ?? 0;
    assert.ok(ratio > 0, `${side}: ${ratio}`);
  }
});

test("a long line, with windows that grow and with the fixed one", needed, async (t) => {
  await measure(t, ["window_100ms"]);
});

test(
  "one void run with twice the connections is repeated, and does not end the bench",
  needed,
  async (t) => {
    const tools = await prepareTools();
    const folder = await temporaryFolder(t);
    const wrk = join(folder, "failing-wrk");
    const script = `#!/bin/sh
case "$*" in *-c256*)
  if [ ! -e "${folder}/failed" ]; then
    touch "${folder}/failed"
    "${tools.wrk}" "$@" | sed 's/"status":0/"status":1/'
    exit
  fi
esac
exec "${tools.wrk}" "$@"
`;
    writeFileSync(wrk, script, { mode: 0o700 });
    const notes: string[] = [];
    const note = (text: string): void => void notes.push(text);
    const context = { tools: { ...tools, wrk }, plan: TINY, relayIds: ["hawser"], note } as const;
    const [row] = (await measureRows(["small_1dev_c128"], context)).map(judge);
    assert.ok(row?.hawser != null);
    const repeated = notes.filter((text) => text.startsWith("void run, repeated: "));
    assert.deepEqual(repeated, ["void run, repeated: hawser: 1 errors of kind status"]);
  },
);
