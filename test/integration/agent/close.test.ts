import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import type { Agent } from "../../../src/agent/index.ts";
import { closed, patternBytes, TcpService } from "../../support/agent/local-service.ts";
import { startAgent, startPath } from "../../support/agent/path.ts";

/** `close()` resolves and `ready()` settles, whatever the relay and the service do or leave undone. */

/** None of these waits for anything but what it makes happen. */
const timeout = 15_000;

/** A relay that does with each connection what the test says, once the request has come. */
async function startOddRelay(t: TestContext, onRequest: (socket: Socket, head: string) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.once("data", (head) => onRequest(socket, head.toString("latin1")));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A promise that the test resolves. */
function deferred(): { promise: Promise<void>; resolve: () => void } {
  let settle = (): void => {};
  const promise = new Promise<void>((resolve) => {
    settle = resolve;
  });
  return { promise, resolve: () => settle() };
}

/** The answer that opens the WebSocket. */
function switching(head: string): string {
  const key = /^sec-websocket-key: (.*)\r$/im.exec(head)?.[1] ?? "";
  const accept = createHash("sha1")
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  return `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`;
}

/** Both settle, and the agent has stopped. */
async function assertStops(agent: Agent, drainMs: number): Promise<void> {
  const ready = agent.ready().then(
    () => "up",
    (error: { code: string }) => error.code,
  );
  const wasUp = agent.state === "connected";
  await agent.close({ drainMs });
  assert.equal(agent.state, "stopped");
  assert.equal(agent.streamCount, 0);
  assert.equal(await ready, wasUp ? "up" : "ERR_AGENT_STOPPED");
  await agent.close();
}

const to = "tcp://127.0.0.1:1";

test("closed while the relay keeps the handshake waiting", { timeout }, async (t) => {
  const asked = deferred();
  const relay = await startOddRelay(t, () => asked.resolve());
  const { agent } = startAgent(t, relay, { to });
  await asked.promise;
  await assertStops(agent, 30_000);
});

for (const [what, part] of [
  ["nothing", ""],
  ["half a status line", "HTTP/1.1 1"],
  ["half a head", "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"],
] as const) {
  test(`the relay says ${what} and vanishes; closed between dials`, { timeout }, async (t) => {
    const relay = await startOddRelay(t, (socket) => socket.end(part, () => socket.destroy()));
    const { agent } = startAgent(t, relay, { to, backoffBaseMs: 60_000, backoffCapMs: 60_000 });
    const [lost] = await once(agent, "disconnected");
    assert.equal(lost.cause, "unreachable");
    await assertStops(agent, 30_000);
  });

  test(`closed after the relay said ${what} and no more`, { timeout }, async (t) => {
    const asked = deferred();
    const relay = await startOddRelay(t, (socket) => {
      socket.write(part, () => asked.resolve());
    });
    const { agent } = startAgent(t, relay, { to });
    await asked.promise;
    await assertStops(agent, 30_000);
  });
}

for (const drainMs of [0, 30_000]) {
  const name = `a relay that opens the WebSocket and then neither reads nor writes, drain ${drainMs} ms`;
  test(name, { timeout }, async (t) => {
    const relay = await startOddRelay(t, (socket, head) => socket.pause().write(switching(head)));
    const { agent } = startAgent(t, relay, { to });
    await agent.ready();
    // No stream is open: there is nothing to wait for.
    await assertStops(agent, drainMs);
  });
}

test("a service that never answers is given the drain time, and no more", {
  timeout,
}, async (t) => {
  const service = await TcpService.start();
  t.after(() => service.close());
  const { agent, tunnel } = await startPath(t, { to: service.url });
  tunnel.open().write("no answer comes");
  await once(await service.nextConnection(), "data");
  assert.equal(agent.streamCount, 1);
  await assertStops(agent, 50);
});

test("closed at once while a first close drains", { timeout }, async (t) => {
  const service = await TcpService.start();
  t.after(() => service.close());
  const { agent, tunnel } = await startPath(t, { to: service.url });
  tunnel.open().write("no answer comes");
  await once(await service.nextConnection(), "data");
  const draining = agent.close({ drainMs: 600_000 });
  assert.equal(agent.state, "stopping");
  await assert.rejects(Promise.all([agent.ready(), agent.close({ drainMs: 0 })]), {
    code: "ERR_AGENT_STOPPED",
  });
  await draining;
});

test("the relay vanishes while the agent drains", { timeout }, async (t) => {
  const service = await TcpService.start();
  t.after(() => service.close());
  const { agent, tunnel } = await startPath(t, { to: service.url });
  tunnel.open().write("no answer comes");
  await once(await service.nextConnection(), "data");
  const draining = agent.close({ drainMs: 600_000 });
  tunnel.cut();
  await draining;
  assert.equal(agent.state, "stopped");
});

test("closed while the service has not taken the connection", { timeout }, async (t) => {
  const service = await TcpService.start();
  t.after(() => service.close());
  // It takes the TCP connection, and never answers the TLS handshake.
  const silent = service.url.replace("tcp:", "https:");
  const { agent, tunnel } = await startPath(t, { to: silent });
  tunnel.open().write("x");
  const gone = closed(await service.nextConnection());
  await assertStops(agent, 50);
  await gone;
});

test("closed while neither side reads what the other sends", { timeout }, async (t) => {
  const service = await TcpService.start();
  t.after(() => service.close());
  const { agent, tunnel } = await startPath(t, { to: service.url });
  const duplex = tunnel.open().pause();
  duplex.write(patternBytes(8 * 1024 * 1024));
  const socket = (await service.nextConnection()).pause();
  socket.write(patternBytes(8 * 1024 * 1024));
  const gone = new Promise<void>((resolve) => {
    socket.once("close", () => resolve());
  });
  await assertStops(agent, 50);
  socket.resume();
  await gone;
});

test("go away, and the replacement never comes up: closed", { timeout }, async (t) => {
  const service = await TcpService.start();
  t.after(() => service.close());
  const { agent, tunnel, relay } = await startPath(t, { to: service.url, stableMs: 0 });
  tunnel.open().write("no answer comes");
  await once(await service.nextConnection(), "data");
  relay.refusal = { status: 503 };
  const refused = once(agent, "disconnected");
  tunnel.goAway();
  await refused;
  await agent.close({ drainMs: 50 });
  assert.equal(agent.state, "stopped");
});
