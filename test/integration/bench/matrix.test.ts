import assert from "node:assert/strict";
import type { RequestListener } from "node:http";
import { test } from "node:test";
import { runMatrix, runScenario } from "../../../bench/matrix/run-matrix.ts";
import {
  exchangeOf,
  REQUEST_KINDS,
  SCENARIOS,
  type Scenario,
  scenarioName,
} from "../../../bench/matrix/scenario.ts";
import { VoidRun } from "../../../bench/support/load.ts";
import { makeWorkFolder } from "../../../bench/support/tools.ts";
import { serveHttp } from "../../support/http-service.ts";

/** The matrix of the bench, run small: every scenario passes, and what is wrong is not counted. */

for (const [way, count] of [
  ["edge", REQUEST_KINDS.length * 2 * 2],
  ["api", 2 * 2],
] as const) {
  test(`every scenario by way of the ${way} gets right answers from the devices that it asks`, {
    timeout: 55_000,
  }, async (t) => {
    makeWorkFolder();
    const asked = SCENARIOS.filter((scenario) => scenario.way === way);
    assert.equal(asked.length, count);
    const results = await runMatrix(asked, { requests: 64 }, (text) => t.diagnostic(text));
    assert.deepEqual(
      results.map(({ scenario, requests }) => [scenario, requests]),
      asked.map((scenario) => [scenarioName(scenario), 64]),
    );
  });
}

const scenario: Scenario = { way: "edge", request: "get_small", connections: 1, devices: 1 };

const run = (port: number) => runScenario(scenario, { port, key: "k" }, ["d"], { requests: 8 });

test("a run with one answer of another device, or with one failure, is void", async (t) => {
  const { expected } = exchangeOf("get_small", "d");
  const other = exchangeOf("get_small", "e").expected;
  assert.equal(other.length, expected.length);
  const spoilt = async (spoil: RequestListener): Promise<number> => {
    let asked = 0;
    return serveHttp(t, (request, response) => {
      asked += 1;
      if (asked === 5) spoil(request, response);
      else response.end(expected);
    });
  };
  const good = await spoilt((_, response) => response.end(expected));
  assert.equal((await run(good)).requests, 8);
  const isVoid = (what: RegExp) => (error: unknown) =>
    error instanceof VoidRun && what.test(error.message);
  const foreign = await spoilt((_, response) => response.end(other));
  await assert.rejects(run(foreign), isVoid(/: 1 bodies that are not the right one$/));
  const failing = await spoilt((_, response) => response.writeHead(503).end());
  await assert.rejects(run(failing), isVoid(/1 status 503/));
  const cut = await spoilt((request) => request.socket.destroy());
  await assert.rejects(run(cut), isVoid(/1 requests that were not answered/));
});
