import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { startTestRelay } from "../../support/relay/start-relay.ts";

/** Some 50 times what is needed to fill the sockets' own buffers with answers. */
const REQUESTS_MAX = 500_000;
const REQUESTS_PER_WRITE = 1_000;

/** Sends one request after the other and reads nothing. Resolves with how many were sent until the relay cut it. */
async function sendWithoutReading(port: number, request: string): Promise<number> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.pause();
  const cut = new Promise<void>((resolve) => {
    socket.on("error", () => {});
    socket.once("close", () => resolve());
  });
  await once(socket, "connect");
  const block = request.repeat(REQUESTS_PER_WRITE);
  let sent = 0;
  while (!socket.destroyed && sent < REQUESTS_MAX) {
    sent += REQUESTS_PER_WRITE;
    if (!socket.write(block)) await Promise.race([once(socket, "drain").catch(() => {}), cut]);
  }
  socket.destroy();
  return sent;
}

for (const [name, method, target] of [
  ["refusals", "GET", "/"],
  ["refusals of HEAD", "HEAD", "/"],
  ["health checks", "GET", "/healthz"],
] as const) {
  test(`a client that does not read its ${name} is cut, before they fill the memory`, async (t) => {
    const { relay } = await startTestRelay(t);
    const port = target === "/" ? relay.port : relay.internalPort;
    const sent = await sendWithoutReading(port, `${method} ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.ok(sent < REQUESTS_MAX, `${sent} requests were read`);
  });
}
