import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { startRelayProcess } from "../../support/process/hawser.ts";
import { ask } from "../../support/relay/start-relay.ts";

/** What the edge does with a new connection. */
function knock(port: number): Promise<string> {
  return ask(port, "/").then(
    ({ status }) => String(status),
    (error: NodeJS.ErrnoException) => error.code ?? "",
  );
}

test("without a file descriptor left connections are refused, and health checks answered", {
  timeout: 60_000,
}, async (t) => {
  const relay = await startRelayProcess([], 128);
  t.after(() => relay.stop());
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let count = 0; count < 160; count++) {
    const socket = connect({ port: relay.port, host: "127.0.0.1" });
    socket.on("error", () => {});
    sockets.push(socket);
  }
  await relay.printed("no file descriptor is left");
  // Refused, not left in the kernel's queue, of which the loop would be told again and again.
  assert.equal(await knock(relay.port), "ECONNREFUSED");
  assert.equal((await ask(relay.internalPort, "/healthz")).status, 200);
  for (const socket of sockets) socket.destroy();
  await relay.printed("file descriptors are free again");
  assert.equal(await knock(relay.port), "404");
});
