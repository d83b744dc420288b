import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { AUTHORIZE_REQUEST_BYTES_MAX } from "../../../src/core/contract.ts";
import { mintToken, parseToken } from "../../../src/core/token.ts";
import type { CallerGate } from "../../../src/relay/ports.ts";
import { startHarness } from "../../support/forward/harness.ts";
import { rawRequest } from "../../support/forward/raw-request.ts";
import { ScriptedService } from "../../support/forward/scripted-service.ts";
import { ask, SECRET, startTestRelay } from "../../support/relay/start-relay.ts";

const PATH = "/internal/changes";

/** Each key may reach each device. */
const anyKey: CallerGate = {
  authenticateCaller: (text) => {
    const known = parseToken(text);
    return known.ok
      ? { ok: true, value: { keyId: known.ref, userId: "u", limit: null, allows: () => true } }
      : { ok: false, status: 401, code: "ERR_RELAY_UNAUTHORIZED", retryAfter: 0 };
  },
};

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

test("POST /internal/changes: what was sent holds, also where the sender has left before the answer", async (t) => {
  const started = await startTestRelay(t);
  const device = await started.connect({});
  const body = JSON.stringify({ revoked: [started.devices[0]?.token.ref] });
  const head = [
    `POST ${PATH} HTTP/1.1`,
    "Host: h",
    `Authorization: Bearer ${SECRET}`,
    `Content-Length: ${body.length}`,
  ];
  const socket = connect(started.relay.internalPort, "127.0.0.1");
  await once(socket, "connect");
  socket.write(`${head.join("\r\n")}\r\n\r\n${body}`, () => socket.destroy());
  assert.equal(await device.closed, 4403);
  assert.equal((await started.internal(PATH, { method: "POST", body: "{}" })).status, 200);
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

test("POST /internal/changes: what runs for a revoked key ends, and nothing of other keys", async (t) => {
  const harness = await startHarness(t, {}, { callerGate: anyKey });
  const service = await ScriptedService.start(({ target, socket }) => {
    if (target === "/waits") return;
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
  });
  t.after(() => service.close());
  await harness.agent(service.port);
  const [revoked, other] = [mintToken("key"), mintToken("key")];
  const asked = (target: string, { text }: { text: string }) => {
    let onBegun = (): void => {};
    const begun = new Promise<void>((resolve) => {
      onBegun = resolve;
    });
    const request = `GET /d/${harness.deviceId}${target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${text}\r\n\r\n`;
    const answer = rawRequest(harness.relay.port, request, false, () => onBegun());
    return { begun, answer };
  };
  const streams = [asked("/streams", revoked), asked("/streams", other)] as const;
  const waits = asked("/waits", revoked);
  await Promise.all([streams[0].begun, streams[1].begun, service.arrived(3)]);
  const told = await ask(harness.relay.internalPort, PATH, {
    method: "POST",
    headers: { authorization: "Bearer a-secret-of-the-forward-tests-0123456789" },
    body: JSON.stringify({ revoked: [revoked.ref] }),
  });
  assert.deepEqual([told.status, told.text], [200, '{"closed":0}']);
  const [cut, refused] = await Promise.all([streams[0].answer, waits.answer]);
  assert.deepEqual([cut.status, cut.whole], [200, false]);
  assert.deepEqual([refused.status, refused.whole], [401, true]);
  for (const { target, socket } of service.requests) {
    if (target === "/streams" && socket.writable) socket.write("0\r\n\r\n");
  }
  assert.equal((await streams[1].answer).whole, true);
});

test("closing all tunnels: nobody can say any longer who may connect", async (t) => {
  const started = await startTestRelay(t, {}, 2);
  const devices = await Promise.all([0, 1].map((index) => started.connect({}, index)));
  assert.equal(started.relay.closeTunnels(), 2);
  for (const device of devices) assert.equal(await device.closed, 1013);
  assert.equal(started.relay.closeTunnels(), 0);
});
