import assert from "node:assert/strict";
import type { RequestListener } from "node:http";
import { type TestContext, test } from "node:test";
import type { AuthorizeRequest } from "../../../src/core/contract.ts";
import { mintDeviceId } from "../../../src/core/token.ts";
import { AuthorizeCall } from "../../../src/relay/api-gate/authorize-call.ts";
import { type ScriptedServer, startScriptedServer } from "../../support/api/scripted-server.ts";

const NOTHING: AuthorizeRequest = { tokens: [], keys: [], devices: [], recheck: [] };
const NO_ANSWERS = { tokens: [], keys: [], devices: [], revoked: [] };

async function callTo(
  t: TestContext,
  answer: RequestListener,
  prefix = "",
): Promise<{ call: AuthorizeCall; server: ScriptedServer }> {
  const server = await startScriptedServer(t, answer);
  const call = new AuthorizeCall({
    api: { origin: server.url, prefix },
    secret: "the secret",
    timeoutMs: 5_000,
    ca: null,
  });
  t.after(() => call.close());
  return { call, server };
}

test("authorize call: one POST with the secret, over one connection", async (t) => {
  const bearers: (string | undefined)[] = [];
  const { call, server } = await callTo(
    t,
    (request, response) => {
      bearers.push(request.headers.authorization);
      response.end(JSON.stringify(NO_ANSWERS));
    },
    "/base",
  );
  assert.deepEqual(await call.send(NOTHING), NO_ANSWERS);
  assert.deepEqual(await call.send(NOTHING), NO_ANSWERS);
  assert.deepEqual(server.calls, new Array(2).fill("POST /base/internal/authorize"));
  assert.deepEqual(bearers, new Array(2).fill("Bearer the secret"));
  assert.equal(server.connections(), 1);
});

test("authorize call: a connection that breaks under it is made again, once", async (t) => {
  let cuts = 1;
  const { call, server } = await callTo(t, (request, response) => {
    if (cuts > 0) request.socket.destroy();
    else response.end(JSON.stringify(NO_ANSWERS));
    cuts -= 1;
  });
  assert.deepEqual(await call.send(NOTHING), NO_ANSWERS);
  cuts = 2;
  await assert.rejects(call.send(NOTHING), { code: "ERR_GATE_UNREACHABLE" });
  assert.equal(server.calls.length, 4);
});

test("authorize call: another status than 200 fails with it, and the connection goes on", async (t) => {
  const { call, server } = await callTo(t, (_request, response) => {
    response.writeHead(401).end("x".repeat(10_000));
  });
  for (let round = 0; round < 3; round++) {
    await assert.rejects(call.send(NOTHING), { code: "ERR_GATE_STATUS", status: 401 });
  }
  assert.equal(server.connections(), 1);
});

test("authorize call: an answer that does not fit the question, or is over 16 MiB, is none", async (t) => {
  let body = "";
  const { call } = await callTo(t, (_request, response) => void response.end(body));
  const bad = ["", "null", "{}", JSON.stringify({ ...NO_ANSWERS, devices: [null, null] })];
  for (const text of bad) {
    body = text;
    const asked = { ...NOTHING, devices: [mintDeviceId()] };
    await assert.rejects(call.send(asked), { code: "ERR_GATE_ANSWER" }, text);
  }
  const padded = JSON.stringify(NO_ANSWERS).padEnd(16 << 20);
  body = padded;
  assert.deepEqual(await call.send(NOTHING), NO_ANSWERS);
  body = `${padded} `;
  await assert.rejects(call.send(NOTHING), { code: "ERR_GATE_ANSWER" });
  body = JSON.stringify(NO_ANSWERS);
  assert.deepEqual(await call.send(NOTHING), NO_ANSWERS);
});
