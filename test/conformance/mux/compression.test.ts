import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocket } from "ws";
import { startPath } from "../../support/agent/path.ts";
import { startTestRelay } from "../../support/relay/start-relay.ts";

test("Y118: the relay does not negotiate permessage-deflate, though the device offers it", async (t) => {
  const { relay, devices } = await startTestRelay(t);
  const [device] = devices;
  const webSocket = new WebSocket(`ws://127.0.0.1:${relay.port}/tunnel/connect`, {
    headers: { authorization: `Bearer ${device?.token.text}` },
    perMessageDeflate: true,
  });
  t.after(() => webSocket.terminate());
  const upgraded = once(webSocket, "upgrade");
  await once(webSocket, "open");
  const [response] = (await upgraded) as [{ headers: Record<string, string | undefined> }];
  assert.equal(response.headers["sec-websocket-extensions"], undefined);
  assert.equal(webSocket.extensions, "");
});

test("Y118: the agent does not offer it, though the relay would take it", async (t) => {
  const { relay } = await startPath(t, { to: "http://127.0.0.1:9" });
  const [handshake] = relay.handshakes;
  assert.ok(handshake !== undefined);
  assert.equal(handshake.headers["sec-websocket-extensions"], undefined);
});
