import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { extname } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { AgentOptions } from "../../../src/agent/index.ts";
import {
  closed,
  patternBytes,
  readAll,
  sha256,
  TcpService,
} from "../../support/agent/local-service.ts";
import { bodyOf } from "../../support/agent/mini-relay.ts";
import { startPath, startService } from "../../support/agent/path.ts";
import { lendPort } from "../../support/ports.ts";

const MIB = 1024 * 1024;

async function startTcp(t: TestContext): Promise<TcpService> {
  const service = await TcpService.start();
  t.after(() => service.close());
  return service;
}

test("a GET through the tunnel", async (t) => {
  const service = await startService(t);
  const { tunnel, relay } = await startPath(t, { to: service.url });
  const response = await tunnel.request("/hello/1");
  assert.equal(response.statusCode, 200);
  assert.equal((await bodyOf(response)).toString(), "hello 1");
  const handshake = relay.handshakes[0];
  assert.equal(handshake?.url, "/tunnel/connect");
  assert.equal(handshake?.headers.authorization, "Bearer vAc_integration");
  assert.equal(handshake?.headers["sec-websocket-extensions"], undefined);
  assert.equal(handshake?.headers.origin, undefined);
});

test("requests in turn share one stream and one local connection", async (t) => {
  const service = await startService(t);
  const { tunnel } = await startPath(t, { to: service.url });
  for (let turn = 0; turn < 20; turn += 1) {
    const response = await tunnel.request(`/hello/${turn}`);
    assert.equal((await bodyOf(response)).toString(), `hello ${turn}`);
  }
  assert.equal(service.connections.count, 1);
});

for (const role of ["server", "client"] as const) {
  test(`32 MiB down and up, byte for byte, agent in the yamux role ${role}`, async (t) => {
    const service = await startService(t);
    const peer = role === "server" ? "client" : "server";
    const { tunnel } = await startPath(t, { to: service.url, yamuxRole: role }, { role: peer });
    const bytes = patternBytes(32 * MIB + 7);
    const down = await bodyOf(await tunnel.request(`/down/${bytes.length}`));
    assert.equal(sha256(down), sha256(bytes));
    const up = await bodyOf(await tunnel.request("/up", { method: "POST" }, bytes));
    assert.equal(up.toString(), `${bytes.length} ${sha256(bytes)}`);
  });
}

test("an echo of 8 MiB runs both ways at once", async (t) => {
  const service = await startService(t);
  const { tunnel } = await startPath(t, { to: service.url });
  const bytes = patternBytes(8 * MIB);
  const echoed = await bodyOf(await tunnel.request("/echo", { method: "POST" }, bytes));
  assert.equal(sha256(echoed), sha256(bytes));
});

test("100 streams at once, each with its own bytes", async (t) => {
  const service = await startService(t);
  const { tunnel, agent } = await startPath(t, { to: service.url });
  const sizes = Array.from({ length: 100 }, (_, index) => 1 + index * 2_003);
  await Promise.all(
    sizes.map(async (size) => {
      const bytes = patternBytes(size);
      const echoed = await bodyOf(await tunnel.request("/echo", { method: "POST" }, bytes));
      assert.equal(sha256(echoed), sha256(bytes));
    }),
  );
  assert.ok(agent.streamCount <= 100);
});

test("half close by the relay reaches the service, which still answers", async (t) => {
  const service = await startTcp(t);
  const { tunnel } = await startPath(t, { to: service.url });
  const duplex = tunnel.open();
  duplex.end("question");
  const socket = await service.nextConnection();
  assert.equal((await readAll(socket)).toString(), "question");
  socket.end("answer");
  assert.equal((await readAll(duplex)).toString(), "answer");
});

test("half close by the service reaches the relay, which still sends", async (t) => {
  const service = await startTcp(t);
  const { tunnel } = await startPath(t, { to: service.url });
  const duplex = tunnel.open();
  duplex.write("first");
  const socket = await service.nextConnection();
  socket.end("all I have");
  assert.equal((await readAll(duplex)).toString(), "all I have");
  duplex.end(" second");
  assert.equal((await readAll(socket)).toString(), "first second");
});

test("a reset by the relay cuts the local connection", async (t) => {
  const service = await startTcp(t);
  const { tunnel } = await startPath(t, { to: service.url });
  const duplex = tunnel.open();
  duplex.write("x");
  const socket = await service.nextConnection();
  await once(socket, "data");
  const failed = once(socket, "error").catch((error: unknown) => [error]);
  duplex.destroy(new Error("client gone"));
  const [error] = await failed;
  assert.equal((error as NodeJS.ErrnoException).code, "ECONNRESET");
});

test("a reset right behind the end: the connection is reset, and the process can end", async () => {
  const extension = extname(import.meta.url);
  const child = new URL(`../../support/agent/cut-child${extension}`, import.meta.url);
  // Where the socket is lost the child never ends, and takes no other signal.
  const options = { timeout: 20_000, killSignal: "SIGKILL" } as const;
  const run = promisify(execFile)(process.execPath, [fileURLToPath(child)], options);
  assert.equal((await run).stdout, "connect,close");
});

test("a reset by the service resets the stream, and the session lives on", async (t) => {
  const service = await startTcp(t);
  const { tunnel, log } = await startPath(t, { to: service.url });
  const duplex = tunnel.open();
  duplex.write("x");
  const socket = await service.nextConnection();
  await once(socket, "data");
  const failed = once(duplex, "error").catch((error: unknown) => [error]);
  socket.resetAndDestroy();
  const [error] = await failed;
  assert.match((error as NodeJS.ErrnoException).code ?? "", /^ERR_MUX_/);
  await log.line(/connection to local service .* broke \(ECONNRESET\)/);
  const again = tunnel.open();
  again.end("y");
  assert.equal((await readAll(await service.nextConnection())).toString(), "y");
});

test("a service that answers, ends and breaks off while the relay still sends: no reset", async (t) => {
  const service = await startTcp(t);
  const { tunnel, agent } = await startPath(t, { to: service.url });
  const duplex = tunnel.open();
  duplex.write("upload");
  const socket = await service.nextConnection();
  await once(socket, "data");
  socket.end("413");
  assert.equal((await readAll(duplex)).toString(), "413");
  const gone = closed(socket);
  socket.resetAndDestroy();
  await gone;
  await new Promise<void>((resolve) => {
    duplex.end(patternBytes(2 * MIB), () => resolve());
  });
  assert.equal(duplex.errored, null);
  const again = tunnel.open();
  again.end("y");
  assert.equal((await readAll(await service.nextConnection())).toString(), "y");
  assert.ok(agent.streamCount <= 2);
});

test("a service that does not listen: the stream is reset, one line says why, nothing is held", async (t) => {
  const { tunnel, agent, log } = await startPath(t, { to: `http://127.0.0.1:${await lendPort()}` });
  for (let request = 0; request < 5; request += 1) {
    await assert.rejects(tunnel.request("/hello"), /./);
  }
  const line = await log.line(/cannot be reached \(ECONNREFUSED\)/);
  assert.equal(line.level, "warn");
  assert.equal(log.lines.filter(({ message }) => /cannot be reached/.test(message)).length, 1);
  assert.equal(agent.streamCount, 0);
  assert.equal(agent.state, "connected");
});

/** An agent whose service takes the TCP connection but never answers its TLS handshake. */
async function startHanging(t: TestContext, options: Partial<AgentOptions> = {}) {
  const service = await startTcp(t);
  const path = await startPath(t, { to: service.url.replace("tcp:", "https:"), ...options });
  return { service, ...path };
}

test("a service that does not take the connection in time: the stream is reset", async (t) => {
  const { service, tunnel, agent, log } = await startHanging(t, { localTimeoutMs: 1 });
  const failed = assert.rejects(tunnel.request("/hello"));
  const gone = closed(await service.nextConnection());
  await failed;
  await gone;
  await log.line(/cannot be reached \(ERR_AGENT_LOCAL_TIMEOUT\)/);
  assert.equal(agent.streamCount, 0);
});

test("a stream that the relay resets before the service is connected ends the attempt", async (t) => {
  const { service, tunnel, agent } = await startHanging(t);
  const duplex = tunnel.open();
  duplex.write("x");
  const gone = closed(await service.nextConnection());
  duplex.destroy();
  await gone;
  assert.equal(agent.streamCount, 0);
});

test("a tunnel that is cut ends the attempts to connect", async (t) => {
  const { service, tunnel, relay } = await startHanging(t);
  tunnel.open().write("x");
  const gone = closed(await service.nextConnection());
  tunnel.cut();
  await gone;
  await relay.nextTunnel();
});

test("streams beyond the limit are refused, those below it go on", async (t) => {
  const service = await startService(t);
  const { tunnel, log } = await startPath(t, { to: service.url, maxStreams: 3 });
  const running = [1, 2, 3].map(() => tunnel.request("/hold"));
  await service.held(3);
  await assert.rejects(tunnel.request("/hello"), /./);
  await log.line(/stream refused: 3 are open already/);
  service.release();
  for (const response of await Promise.all(running)) {
    assert.equal((await bodyOf(response)).toString(), "released");
  }
  assert.equal((await bodyOf(await tunnel.request("/hello/again"))).toString(), "hello again");
});

test("a service that does not read stops the relay's sender, not the session", async (t) => {
  const service = await startTcp(t);
  const { tunnel } = await startPath(t, { to: service.url });
  const slow = tunnel.open();
  const bytes = patternBytes(24 * MIB);
  slow.end(bytes);
  const slowSocket = (await service.nextConnection()).pause();
  const quick = tunnel.open();
  quick.end("ping");
  const quickSocket = await service.nextConnection();
  assert.equal((await readAll(quickSocket)).toString(), "ping");
  quickSocket.end("pong");
  assert.equal((await readAll(quick)).toString(), "pong");
  assert.ok(slow.writableLength > 0, "the sender waits");
  const received = await readAll(slowSocket);
  assert.equal(sha256(received), sha256(bytes));
});

test("a relay that does not read stops the service", async (t) => {
  const service = await startTcp(t);
  const { tunnel } = await startPath(t, { to: service.url });
  const duplex = tunnel.open();
  duplex.write("x");
  duplex.pause();
  const socket = await service.nextConnection();
  const bytes = patternBytes(24 * MIB);
  socket.end(bytes);
  const quick = tunnel.open();
  quick.end("ping");
  const quickSocket = await service.nextConnection();
  assert.equal((await readAll(quickSocket)).toString(), "ping");
  quickSocket.end();
  await readAll(quick);
  assert.ok(socket.writableLength > 0, "the service waits");
  assert.equal(sha256(await readAll(duplex)), sha256(bytes));
});

test("an idle connection that the service closes ends the stream", async (t) => {
  const service = await startTcp(t);
  const { tunnel, agent } = await startPath(t, { to: service.url });
  const duplex = tunnel.open();
  duplex.write("x");
  const socket = await service.nextConnection();
  socket.end();
  duplex.resume();
  await once(duplex, "end");
  duplex.end();
  await closed(socket);
  assert.equal(agent.streamCount, 0);
});

test("streams go to an http.Server of the same process", async (t) => {
  const server = createServer((request, response) => response.end(`served ${request.url}`));
  t.after(() => server.close());
  const { tunnel } = await startPath(t, { server });
  for (const path of ["/one", "/two"]) {
    assert.equal((await bodyOf(await tunnel.request(path))).toString(), `served ${path}`);
  }
});

test("streams go to a callback as they are", async (t) => {
  const received: string[] = [];
  const { tunnel } = await startPath(t, {
    onStream: (stream) => {
      stream.accept({
        streamOnData: (from, chunk, start, end) => {
          received.push(Buffer.from(chunk.subarray(start, end)).toString());
          from.consume(end - start);
        },
        streamOnEnd: (from) => {
          from.write(Buffer.from("taken"));
          from.end();
        },
        streamOnWritable: () => {},
        streamOnClose: () => {},
      });
    },
  });
  const duplex = tunnel.open();
  duplex.end("given");
  assert.equal((await readAll(duplex)).toString(), "taken");
  assert.equal(received.join(""), "given");
});

test("after everything is closed no socket is left", async (t) => {
  const service = await startTcp(t);
  const { tunnel, agent } = await startPath(t, { to: service.url });
  const duplex = tunnel.open();
  duplex.write("x");
  const gone = closed(await service.nextConnection());
  await agent.close({ drainMs: 0 });
  await gone;
  assert.equal(agent.state, "stopped");
});
