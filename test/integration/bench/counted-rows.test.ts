import assert from "node:assert/strict";
import { test } from "node:test";
import { measureRows } from "../../../bench/rows/families.ts";
import { TINY } from "../../../bench/rows/plan.ts";
import { judge } from "../../../bench/rows/verdict.ts";
import { prepareTools } from "../../../bench/support/tools.ts";
import { skipWithout } from "../../support/go.ts";

test("a request through the API server is measured beside a bare node:http server", {
  skip: skipWithout("wrk", "gcc", "go"),
  timeout: 55_000,
}, async (t) => {
  const tools = await prepareTools();
  const note = (text: string): void => t.diagnostic(text);
  const context = { tools, plan: TINY, relayIds: ["hawser", "reference"], note } as const;
  const [row] = (await measureRows(["api_forward"], context)).map(judge);
  assert.equal(row?.against, "node:http");
  assert.ok(row.ratio !== null && row.ratio > 1, `the ratio is ${row.ratio}`);
});

test("system calls a request: one read and one write each, and little beside", {
  skip: skipWithout("wrk", "gcc", "go", "strace"),
  timeout: 55_000,
}, async () => {
  const tools = await prepareTools();
  const context = { tools, plan: TINY, relayIds: ["hawser"], note: () => {} } as const;
  const [row] = (await measureRows(["syscalls_c32"], context)).map(judge);
  assert.ok(row?.hawser != null && row.hawser >= 2 && row.hawser < 2.5, `${row?.hawser} calls`);
});
