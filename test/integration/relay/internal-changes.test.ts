import assert from "node:assert/strict";
import { test } from "node:test";
import { AUTHORIZE_REQUEST_BYTES_MAX } from "../../../src/core/contract.ts";
import { ask, startTestRelay } from "../../support/relay/start-relay.ts";

const PATH = "/internal/changes";

test("POST /internal/changes: closes the tunnels of revoked tokens, and those alone", async (t) => {
  const started = await startTestRelay(t, {}, 3);
  const devices = await Promise.all([0, 1, 2].map((index) => started.connect({}, index)));
  const [first = "", second = ""] = started.devices.map(({ token }) => token.ref);
  const body = JSON.stringify({ revoked: [first], changed: [second], devices: [] });
  const answer = await started.internal(PATH, { method: "POST", body });
  assert.deepEqual([answer.status, answer.text], [200, '{"closed":1}']);
  assert.equal(await devices[0]?.closed, 4403);
  assert.equal(started.relay.inspect().tunnels, 2);
  assert.deepEqual(
    started.relay.liveTokens().sort(),
    started.devices
      .slice(1)
      .map(({ token }) => token.ref)
      .sort(),
  );
});

test("POST /internal/changes: another body, and one over the limit, is 400; another method 405", async (t) => {
  const started = await startTestRelay(t);
  const large = JSON.stringify({ more: "x".repeat(AUTHORIZE_REQUEST_BYTES_MAX) });
  for (const body of ["", "{", "[]", '{"revoked":["x"]}', large]) {
    const { status, text } = await started.internal(PATH, { method: "POST", body });
    assert.deepEqual([status, JSON.parse(text).code], [400, "ERR_RELAY_BAD_BODY"]);
  }
  const get = await started.internal(PATH);
  assert.deepEqual([get.status, get.headers.allow], [405, "POST"]);
  assert.equal(
    (await ask(started.relay.internalPort, PATH, { method: "POST", body: "{}" })).status,
    401,
  );
  assert.equal((await started.internal(PATH, { method: "POST", body: "{}" })).status, 200);
});

test("closing all tunnels: nobody can say any longer who may connect", async (t) => {
  const started = await startTestRelay(t, {}, 2);
  const devices = await Promise.all([0, 1].map((index) => started.connect({}, index)));
  assert.equal(started.relay.closeTunnels(), 2);
  for (const device of devices) assert.equal(await device.closed, 1013);
  assert.equal(started.relay.closeTunnels(), 0);
});
