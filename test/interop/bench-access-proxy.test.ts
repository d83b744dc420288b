import assert from "node:assert/strict";
import { test } from "node:test";
import { LOADS, startProxies } from "../../bench/support/access-proxy.ts";
import { findTool } from "../../bench/support/tools.ts";
import { skipWithout } from "../support/go.ts";

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
