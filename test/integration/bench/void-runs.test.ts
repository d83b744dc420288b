import assert from "node:assert/strict";
import type { RequestListener } from "node:http";
import { type TestContext, test } from "node:test";
import { runSmall, VoidRun } from "../../../bench/support/load.ts";
import { makeWorkFolder, UNPINNED } from "../../../bench/support/tools.ts";
import { helloBytes } from "../../../bench/support/verify.ts";
import { findProgram, skipWithout } from "../../support/go.ts";
import { serveHttp } from "../../support/http-service.ts";

/** What makes a run of small requests void, one wrong answer among thousands included. */

const HELLO = "Hello, world!";
/** Which answer is a wrong one. */
const WRONG_AT = 300;

/** Loads a server of this process, which is in the place of a relay. */
async function loaded(t: TestContext, listener: RequestListener): Promise<number> {
  makeWorkFolder();
  const port = await serveHttp(t, listener);
  const target = { port, key: "k" };
  const answerBytes = await helloBytes(target, "d");
  const load = { deviceIds: ["d"], connections: 8, seconds: 1, answerBytes };
  const tools = { wrk: findProgram("wrk") ?? "", pinning: UNPINNED };
  const { rps = 0 } = await runSmall(
    tools,
    { id: "pretender", pid: process.pid, port },
    target,
    load,
  );
  return rps;
}

const answering =
  (wrong: RequestListener): RequestListener =>
  (request, response) => {
    asked += 1;
    if (asked === WRONG_AT) wrong(request, response);
    else response.end(HELLO);
  };
let asked = 0;

test("a run of right answers counts", { skip: skipWithout("wrk") }, async (t) => {
  asked = 0;
  assert.ok(
    (await loaded(
      t,
      answering((_, response) => response.end(HELLO)),
    )) > WRONG_AT,
  );
});

for (const [what, wrong, told] of [
  ["without its body", (_, response) => response.end(), /bytes in \d+ answers of \d+ each/],
  ["that is longer", (_, response) => response.end(HELLO.repeat(1_000)), /bytes in \d+ answers/],
  ["of status 503", (_, response) => response.writeHead(503).end(HELLO), /1 errors of kind status/],
] as const satisfies readonly (readonly [string, RequestListener, RegExp])[]) {
  test(`a run with one answer ${what} is void`, { skip: skipWithout("wrk") }, async (t) => {
    asked = 0;
    await assert.rejects(loaded(t, answering(wrong)), (error: unknown) => {
      assert.ok(error instanceof VoidRun, String(error));
      assert.match(error.message, told);
      assert.ok(asked > WRONG_AT);
      return true;
    });
  });
}
