import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { fileURLToPath } from "node:url";
import { RelayConnections } from "../../../../src/api/relay-http/index.ts";
import { processTimers } from "../../../../src/api/timers.ts";
import { ManualClock } from "../../../../src/core/clock.ts";
import { RelayCall } from "../../../support/forward/relay-call.ts";
import { makeCertificate } from "../../../support/relay/certificate.ts";
import { until } from "../../../support/until.ts";

const GET = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/** A relay that answers each read with what `script` writes, and connections to it. */
async function startScript(t: TestContext, script: (socket: Socket, read: string) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", (bytes) => script(socket, bytes.toString("latin1")));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const clock = new ManualClock();
  const connections = new RelayConnections(`http://127.0.0.1:${address.port}`, clock);
  t.after(() => {
    connections.destroy();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { connections, sockets, clock };
}

test("relay connections: one serves again once its answer was whole", async (t) => {
  const { connections, sockets } = await startScript(t, (socket) => socket.write(OK));
  for (let count = 0; count < 3; count++) {
    const call = new RelayCall(connections.take(), GET);
    await call.over();
    assert.equal(call.body, "ok");
  }
  assert.equal(sockets.length, 1);
  assert.deepEqual(connections.counts, { open: 1, free: 1 });
});

test("relay connections: an answer is read alike under any split", async (t) => {
  const answers = [
    "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
  ].join("");
  for (const takesChunks of [true, false]) {
    for (const at of [1, 20, 41, 60, 90, 95, 100, answers.length - 1, answers.length]) {
      const { connections } = await startScript(t, (socket) => {
        socket.setNoDelay(true).write(answers.slice(0, at), "latin1", () => {
          setImmediate(() => socket.write(answers.slice(at), "latin1"));
        });
      });
      const call = new RelayCall(connections.take(), GET, { takesChunks });
      await call.over();
      assert.equal(call.body, takesChunks ? "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" : "abcde");
      assert.equal(connections.counts.free, 1);
    }
  }
});

test("relay connections: what cannot be trusted ends them, and serves nobody else", async (t) => {
  for (const [answer, isWhole] of [
    [`${OK}HTTP/1.1 200 OK\r\n`, true],
    ["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", true],
    ["HTTP/1.1 200 OK\r\n\r\nok", false],
    ["HTTP/1.1 101 Switching Protocols\r\n\r\n", false],
    ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n", false],
    ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", false],
    [`HTTP/1.1 200 OK\r\na: ${"x".repeat(70_000)}`, false],
  ] as const) {
    const { connections } = await startScript(t, (socket) => socket.write(answer));
    const call = new RelayCall(connections.take(), GET);
    await call.over();
    assert.deepEqual([call.isWhole, call.fault], [isWhole, isWhole ? null : "malformed"], answer);
    await until(() => connections.counts.open === 0, "the connection to end");
  }
});

test("relay connections: bytes that nobody asked for end a free one", async (t) => {
  const { connections, sockets } = await startScript(t, (socket) => socket.write(OK));
  await new RelayCall(connections.take(), GET).over();
  sockets[0]?.write(OK);
  await until(() => connections.counts.open === 0, "the connection to end");
});

test("relay connections: an answer that is there before its request has left is nobody's", async (t) => {
  const { connections, sockets } = await startScript(t, (socket) => socket.write(OK));
  const first = new RelayCall(connections.take(), GET);
  await first.over();
  // From a timer a request leaves after the next look at what has come, which finds these bytes.
  const call = await new Promise<RelayCall>((resolve) => {
    processTimers.after(0, () => {
      sockets[0]?.write(OK);
      resolve(new RelayCall(connections.take(), GET));
    });
  });
  await call.over();
  assert.deepEqual([call.isWhole, call.fault], [false, "malformed"]);
  await until(() => connections.counts.open === 0, "the connection to end");
});

test("relay connections: one that was cut before its request has left sends nothing", async (t) => {
  let reads = 0;
  const { connections } = await startScript(t, (socket) => {
    reads += 1;
    socket.write(OK);
  });
  await new RelayCall(connections.take(), GET).over();
  const connection = connections.take();
  const call = new RelayCall(connection, GET);
  connection.cut();
  await call.over();
  assert.equal(call.fault, "lost");
  await new RelayCall(connections.take(), GET).over();
  assert.equal(reads, 2);
});

test("relay connections: an early answer leaves none behind that still owes a body", async (t) => {
  const { connections } = await startScript(t, (socket) => socket.write(OK));
  const head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n";
  const call = new RelayCall(connections.take(), head, { hasBody: true });
  await call.over();
  assert.equal(call.body, "ok");
  await until(() => connections.counts.open === 0, "the connection to end");
});

test("relay connections: HEAD, 204 and 304 have no body, whatever their heads say", async (t) => {
  for (const [status, isHead] of [
    ["200 OK", true],
    ["204 No Content", false],
    ["304 Not Modified", false],
  ] as const) {
    const { connections } = await startScript(t, (socket) =>
      socket.write(`HTTP/1.1 ${status}\r\ncontent-length: 5\r\n\r\n`),
    );
    const call = new RelayCall(connections.take(), GET, { isHead });
    await call.over();
    assert.deepEqual([call.isWhole, call.body], [true, ""]);
    assert.equal(connections.counts.free, 1);
  }
});

test("relay connections: one that breaks off is lost, one that cannot be had is unreachable", async (t) => {
  const { connections } = await startScript(t, (socket) => socket.destroy());
  const lost = new RelayCall(connections.take(), GET);
  await lost.over();
  assert.equal(lost.fault, "lost");
  const nobody = createServer().listen(0, "127.0.0.1");
  await once(nobody, "listening");
  const address = nobody.address();
  assert.ok(address !== null && typeof address === "object");
  nobody.close();
  await once(nobody, "close");
  const unreachable = new RelayCall(
    new RelayConnections(`http://127.0.0.1:${address.port}`).take(),
    GET,
  );
  await unreachable.over();
  assert.equal(unreachable.fault, "unreachable");
});

test("relay connections: an end waits for what runs, and cuts nothing", async (t) => {
  let answer = (): void => {};
  const { connections } = await startScript(t, (socket) => {
    answer = () => void socket.write(OK);
    socket.emit("asked");
  });
  const call = new RelayCall(connections.take(), GET);
  await until(() => connections.counts.open === 1, "the connection");
  let isEnded = false;
  const ended = connections.end().then(() => {
    isEnded = true;
  });
  await until(() => {
    answer();
    return call.isOver;
  }, "the answer");
  assert.equal(call.body, "ok");
  await ended;
  assert.equal(isEnded, true);
  assert.equal(connections.counts.open, 0);
});

test("relay connections: over TLS, to a relay whose certificate is trusted, and to no other", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "hawser-relay-tls-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const { certFile, keyFile } = makeCertificate(folder, "relay");
  const tls = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  const server = createTlsServer(tls, (socket) => {
    socket.on("error", () => {});
    socket.on("data", () => socket.write(OK));
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const program = fileURLToPath(
    new URL(`../../../support/forward/tls-call${extname(import.meta.url)}`, import.meta.url),
  );
  const asked = async (environment: NodeJS.ProcessEnv): Promise<string> => {
    const child = spawn(process.execPath, [program, `https://127.0.0.1:${address.port}`], {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    }
    await once(child, "close");
    return output;
  };
  assert.equal(await asked({ NODE_EXTRA_CA_CERTS: certFile }), "ok");
  assert.equal(await asked({ NODE_EXTRA_CA_CERTS: "" }), "unreachable");
});
