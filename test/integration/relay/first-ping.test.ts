import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import WebSocket from "ws";
import { ask, startTestRelay } from "../../support/relay/start-relay.ts";

const PING = 2;
const WINDOW_UPDATE = 1;
const SYN = 1;

test("the first thing that a device hears is its first stream, with a ping in the same message", async (t) => {
  const { relay, devices, key } = await startTestRelay(t);
  const [device] = devices;
  assert.ok(device !== undefined);
  const ws = new WebSocket(`ws://127.0.0.1:${relay.port}/tunnel/connect`, {
    headers: { authorization: `Bearer ${device.token.text}` },
    perMessageDeflate: false,
  });
  t.after(() => ws.terminate());
  const heard = once(ws, "message");
  await once(ws, "open");
  const answer = ask(relay.port, `/d/${device.deviceId}/`, {
    headers: { authorization: `Bearer ${key.text}` },
  });
  const [message] = (await heard) as [Buffer];
  assert.deepEqual([message[1], message.readUInt16BE(2)], [PING, SYN]);
  const next = message.subarray(12);
  assert.deepEqual([next[1], next.readUInt16BE(2)], [WINDOW_UPDATE, SYN]);
  ws.terminate();
  assert.ok((await answer).status >= 500, "the request ends with its tunnel");
});
