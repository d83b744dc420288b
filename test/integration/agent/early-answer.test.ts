import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { type TestContext, test } from "node:test";
import { patternBytes, readAll, sha256, TcpService } from "../../support/agent/local-service.ts";
import type { RelayTunnel } from "../../support/agent/mini-relay.ts";
import { startPath } from "../../support/agent/path.ts";
import { makeCertificate } from "../../support/agent/tls.ts";
import { until } from "../../support/until.ts";

/** Services that answer an upload before they have read it, and close with the rest of it unread. */

const MIB = 1024 * 1024;
const UPLOAD = patternBytes(10 * MIB);
const certificate = makeCertificate();
const inCi = (process.env["CI"] ?? "") !== "";
const skip = certificate === null && !inCi ? "openssl is not installed" : false;
const HEAD = `POST /up HTTP/1.1\r\nhost: device\r\ncontent-length: ${UPLOAD.length}\r\n\r\n`;

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** As every `node:http` service does that refuses by the head alone. */
function refuseWith(body: Buffer): RequestListener {
  return (_request, response) => {
    response.writeHead(413, { connection: "close", "content-length": body.length });
    response.end(body);
  };
}

interface Answer {
  /** Everything that came over the stream. */
  readonly text: string;
  /** FIN, and not RST. */
  readonly whole: boolean;
}

/** Sends the whole upload, whatever comes back, and reads the answer. */
async function upload(tunnel: RelayTunnel): Promise<Answer> {
  const duplex = tunnel.open();
  const chunks: Buffer[] = [];
  const sent = new Promise<void>((resolve) => {
    duplex.write(HEAD);
    duplex.end(UPLOAD, () => resolve());
  });
  const answer = new Promise<Answer>((resolve) => {
    const done = (whole: boolean): void =>
      resolve({ text: Buffer.concat(chunks).toString("latin1"), whole });
    duplex.on("data", (chunk: Buffer) => chunks.push(chunk));
    duplex.once("end", () => done(true));
    duplex.once("error", () => done(false));
  });
  const { text, whole } = await answer;
  // Nobody reads it, and yet all of it is taken: the relay is not stalled by it.
  if (whole) await sent;
  return { text, whole };
}

function assertRefused(answer: Answer, body: Buffer): void {
  assert.match(answer.text, /^HTTP\/1\.1 413 /);
  assert.ok(answer.text.endsWith(`\r\n\r\n${body.toString("latin1")}`), "the whole body");
  assert.equal(answer.whole, true);
}

test("node:http answers 413 and closes: 50 uploads of 10 MiB, 50 answers", async (t) => {
  const body = Buffer.from("too large");
  const port = await listen(t, createServer(refuseWith(body)));
  const { tunnel, agent } = await startPath(t, { to: `http://127.0.0.1:${port}` });
  for (let count = 0; count < 50; count += 1) assertRefused(await upload(tunnel), body);
  // Ends when the last stream does.
  await agent.close({ drainMs: 60_000 });
});

test("ten refused uploads at once", async (t) => {
  const body = Buffer.from("too large");
  const port = await listen(t, createServer(refuseWith(body)));
  const { tunnel } = await startPath(t, { to: `http://127.0.0.1:${port}` });
  const answers = await Promise.all(Array.from({ length: 10 }, () => upload(tunnel)));
  for (const answer of answers) assertRefused(answer, body);
});

test("an https service that refuses", { skip }, async (t) => {
  const body = Buffer.from("too large");
  assert.ok(certificate !== null, "openssl is required in CI");
  const { key, cert } = certificate;
  const port = await listen(t, createTlsServer({ key, cert }, refuseWith(body)));
  const to = `https://127.0.0.1:${port}`;
  const { tunnel } = await startPath(t, { to, localCa: cert });
  for (let count = 0; count < 20; count += 1) assertRefused(await upload(tunnel), body);
});

test("an answer that the relay is slow to read waits for it", async (t) => {
  const service = await TcpService.start();
  t.after(() => service.close());
  const { tunnel } = await startPath(t, { to: service.url });
  const window = patternBytes(256 * 1024);
  const rest = patternBytes(20_000);
  const duplex = tunnel.open().pause();
  duplex.write("unread");
  const socket = (await service.nextConnection()).pause();
  socket.write(window);
  await until(() => duplex.readableLength === window.length, "a window of the answer");
  socket.end(rest, () => socket.destroy());
  await once(socket, "close");
  // The agent does not read while the relay does not: the rest waits in its kernel, behind the reset.
  await new Promise<void>((resolve) => {
    duplex.end(UPLOAD, () => resolve());
  });
  assert.equal(duplex.errored, null);
  const answer = await readAll(duplex);
  assert.equal(sha256(answer), sha256(Buffer.concat([window, rest])));
});

test("a service that closes without an end of its own: the answer, and mostly a reset behind it", async (t) => {
  const answer = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 9\r\n\r\ntoo large";
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.pause();
      socket.write(answer, () => socket.destroy());
    });
  });
  const port = await listen(t, server);
  const { tunnel, agent, log } = await startPath(t, { to: `http://127.0.0.1:${port}` });
  let resets = 0;
  for (let count = 0; count < 20; count += 1) {
    const { text, whole } = await upload(tunnel);
    assert.equal(text, answer);
    // Where answer and reset are read together, before a write finds the reset, libuv reports an end.
    if (!whole) resets += 1;
  }
  assert.equal(
    log.lines.some(({ message }) => /broke \(ECONNRESET\)/.test(message)),
    resets > 0,
  );
  // Ends when the last stream does.
  await agent.close({ drainMs: 60_000 });
});

test("a service that resets without a word: a reset", async (t) => {
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.resetAndDestroy());
  });
  const port = await listen(t, server);
  const { tunnel, agent } = await startPath(t, { to: `http://127.0.0.1:${port}` });
  for (let count = 0; count < 20; count += 1) {
    assert.deepEqual(await upload(tunnel), { text: "", whole: false });
  }
  assert.equal(agent.streamCount, 0);
});

test("an http.Server of the same process that refuses", async (t) => {
  const body = Buffer.from("too large");
  const { tunnel } = await startPath(t, { server: createServer(refuseWith(body)) });
  for (let count = 0; count < 20; count += 1) {
    const { text } = await upload(tunnel);
    assert.match(text, /^HTTP\/1\.1 413 /);
    assert.ok(text.endsWith("\r\n\r\ntoo large"));
  }
});
