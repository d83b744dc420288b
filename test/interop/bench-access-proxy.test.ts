import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { LOADS, startProxies } from "../../bench/support/access-proxy.ts";
import { findTool } from "../../bench/support/tools.ts";
import { skipWithout } from "../support/go.ts";
import { root } from "../support/root.ts";

/** The access proxy's bench, so small that its figures say nothing: that it still runs, and every answer is right. */

test("the access proxy and a bare one are loaded in turn", {
  skip: skipWithout("wrk"),
  timeout: 55_000,
}, async (t) => {
  const proxies = await startProxies(findTool("wrk"));
  t.after(() => proxies.stop());
  const note = (text: string): void => t.diagnostic(text);
  const costs = await proxies.measure({ rounds: 1, seconds: 1, note });
  for (const load of LOADS) {
    const { accessUs, bareUs, ratio } = costs[load];
    assert.ok(bareUs > 0 && accessUs > 0, `${load}: ${bareUs} and ${accessUs} µs`);
    assert.equal(ratio, accessUs / bareUs);
  }
});

test("its command prints one line of JSON, and leaves no folder behind", {
  skip: skipWithout("wrk"),
  timeout: 55_000,
}, async () => {
  const script = join(root, "dist", "bench", "access-proxy.js");
  const flags = ["--rounds=1", "--seconds=1", "--limit=1000", "--json"];
  const running = promisify(execFile)(process.execPath, [script, ...flags]);
  const { pid } = running.child;
  const { stdout } = await running;
  assert.match(stdout, /^\{.*\}\n$/);
  assert.equal(JSON.parse(stdout).ok, true);
  assert.equal(existsSync(join(root, ".build", "bench", `run-${pid}`)), false);
});
