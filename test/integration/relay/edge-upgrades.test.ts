import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as dial } from "node:net";
import { test } from "node:test";
import { rawRequest } from "../../support/forward/raw-request.ts";
import { startTestRelay } from "../../support/relay/start-relay.ts";

const UPGRADE = [
  "connection: Upgrade",
  "upgrade: websocket",
  "sec-websocket-version: 13",
  "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
];

function head(method: string, path: string, host: string, ...fields: string[]): string {
  return [`${method} ${path} HTTP/1.1`, `host: ${host}`, ...fields, "", ""].join("\r\n");
}

test("a WebSocket through the edge is refused with 501, another upgrade is ignored", async (t) => {
  const started = await startTestRelay(t);
  await started.connect({ http: (_request, response) => response.end("served") });
  const path = `/d/${started.devices[0]?.deviceId}/`;
  const key = `authorization: Bearer ${started.key.text}`;
  const { port } = started.relay;
  const refused = await rawRequest(port, head("GET", path, "h", key, ...UPGRADE));
  assert.equal(refused.status, 501);
  assert.equal(JSON.parse(refused.body.toString()).code, "ERR_RELAY_UPGRADE");
  const h2c = await rawRequest(
    port,
    head("GET", path, "h", key, "connection: Upgrade, HTTP2-Settings", "upgrade: h2c"),
  );
  assert.equal(h2c.status, 200);
});

test("on a device's host the path of the tunnels is the device's own", async (t) => {
  const started = await startTestRelay(t, { edgeDomain: "edge.example" });
  await started.connect({ http: (request, response) => response.end(request.url) });
  const host = `${started.devices[0]?.deviceId}.edge.example`;
  const key = `authorization: Bearer ${started.key.text}`;
  const { port } = started.relay;
  const plain = await rawRequest(port, head("GET", "/tunnel/connect?a=1", host, key));
  assert.deepEqual([plain.status, plain.body.toString()], [200, "/tunnel/connect?a=1"]);
  const upgrade = await rawRequest(port, head("GET", "/tunnel/connect", host, key, ...UPGRADE));
  assert.equal(upgrade.status, 501);
});

test("HEAD on the path of the tunnels has no body, and the connection ends after it", async (t) => {
  const started = await startTestRelay(t);
  const socket = dial(started.relay.port, "127.0.0.1");
  t.after(() => socket.destroy());
  socket.write(head("HEAD", "/tunnel/connect", "h"));
  let received = "";
  socket.on("data", (piece: Buffer) => {
    received += piece.toString("latin1");
  });
  await once(socket, "close");
  assert.match(received, /^HTTP\/1\.1 426 [^{]*\r\nConnection: close\r\n[^{]*\r\n\r\n$/i);
});
