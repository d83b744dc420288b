import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import WebSocket from "ws";
import { startTestRelay } from "../../support/relay/start-relay.ts";

/** Dials as a device; resolves with the status of the handshake. */
async function dial(
  port: number,
  token: string,
): Promise<{ status: number; retryAfter: number; ws: WebSocket }> {
  const ws = new WebSocket(`ws://127.0.0.1:${port}/tunnel/connect`, {
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
  });
  ws.on("error", () => {});
  const opened = once(ws, "open").then(() => ({ status: 101, retryAfter: 0, ws }));
  const refused = once(ws, "unexpected-response").then(([, res]) => ({
    status: Number(res.statusCode),
    retryAfter: Number(res.headers["retry-after"] ?? 0),
    ws,
  }));
  return await Promise.race([opened, refused]);
}

test("beyond the limit of tunnels a device is told to come later; one that is in may dial again", async (t) => {
  const { relay, devices } = await startTestRelay(t, { tunnelsMax: 1 }, 2);
  const [first, second] = devices;
  assert.ok(first !== undefined && second !== undefined);
  const open: WebSocket[] = [];
  t.after(() => {
    for (const ws of open) ws.terminate();
  });
  const inside = await dial(relay.port, first.token.text);
  open.push(inside.ws);
  assert.equal(inside.status, 101);
  const outside = await dial(relay.port, second.token.text);
  assert.equal(outside.status, 503);
  assert.ok(outside.retryAfter > 0);
  const again = await dial(relay.port, first.token.text);
  open.push(again.ws);
  assert.equal(again.status, 101);
  assert.equal(relay.inspect().tunnels, 1);
});

test("beyond the limit of handshakes a second devices are told to come later", async (t) => {
  const { relay, devices } = await startTestRelay(t, { handshakesPerSecondMax: 1 }, 2);
  const [first, second] = devices;
  assert.ok(first !== undefined && second !== undefined);
  const both = await Promise.all([
    dial(relay.port, first.token.text),
    dial(relay.port, second.token.text),
  ]);
  t.after(() => {
    for (const { ws } of both) ws.terminate();
  });
  assert.deepEqual(both.map(({ status }) => status).sort(), [101, 503]);
  assert.ok(both.some(({ retryAfter }) => retryAfter > 0));
});

test("beyond the limit of requests of the whole relay one is refused, and later taken", async (t) => {
  const { relay, connect, edge, devices } = await startTestRelay(t, { inFlightMax: 1 });
  const device = devices[0];
  assert.ok(device !== undefined);
  let release: () => void = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let arrived: () => void = () => {};
  const arrival = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  await connect({
    http: async (_req, res) => {
      arrived();
      await held;
      res.end("ok");
    },
  });
  const running = edge(`/d/${device.deviceId}/`);
  await arrival;
  const refused = await edge(`/d/${device.deviceId}/`);
  assert.equal(refused.status, 503);
  assert.equal(JSON.parse(refused.text).stage, "overloaded");
  release();
  assert.equal((await running).status, 200);
  await relay.whenIdle();
  assert.equal((await edge(`/d/${device.deviceId}/`)).status, 200);
});
