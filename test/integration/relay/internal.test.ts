import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import WebSocket from "ws";
import type { Stream, StreamHandler } from "../../../src/mux/index.ts";
import { SECRET, startTestRelay, type TestRelay } from "../../support/relay/start-relay.ts";
import { Changes, until } from "../../support/until.ts";

function refOf(started: TestRelay): string {
  return started.devices[0]?.token.ref ?? "";
}

/** A raw stream that is open; `close` is awaited by its code. */
async function openRaw(
  t: TestContext,
  started: TestRelay,
): Promise<{ ws: WebSocket; closed: Promise<number> }> {
  const url = `ws://127.0.0.1:${started.relay.internalPort}/internal/session/${refOf(started)}/stream`;
  const ws = new WebSocket(url, { headers: { authorization: `Bearer ${SECRET}` } });
  t.after(() => ws.terminate());
  const closed = once(ws, "close").then(([code]) => code as number);
  await once(ws, "open");
  return { ws, closed };
}

/** The status with which an upgrade is refused, and its problem code. */
async function refusedUpgrade(
  started: TestRelay,
  path: string,
  authorization = `Bearer ${SECRET}`,
): Promise<[number, string]> {
  const url = `ws://127.0.0.1:${started.relay.internalPort}${path}`;
  const ws = new WebSocket(url, { headers: { authorization } });
  const [, response] = await once(ws, "unexpected-response");
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece);
  return [response.statusCode, JSON.parse(Buffer.concat(pieces).toString()).code];
}

/** A device's end of a stream that takes nothing until told, and keeps what it takes. */
class Taker implements StreamHandler {
  readonly pieces: Buffer[] = [];
  untaken = 0;
  ended = false;
  /** Resolves with the reason when the stream is finished, null for a clean end. */
  readonly closed: Promise<Error | null>;
  readonly changes = new Changes();
  #taking = false;
  #close: (error: Error | null) => void = () => {};

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
  }

  streamOnData(stream: Stream, chunk: Uint8Array, start: number, end: number): void {
    this.pieces.push(Buffer.from(chunk.subarray(start, end)));
    if (this.#taking) stream.consume(end - start);
    else this.untaken += end - start;
    this.changes.tell();
  }

  take(stream: Stream): void {
    this.#taking = true;
    stream.consume(this.untaken);
    this.untaken = 0;
  }

  streamOnEnd(): void {
    this.ended = true;
  }

  streamOnWritable(): void {}

  streamOnClose(_stream: Stream, error: Error | null): void {
    this.#close(error);
  }
}

/** A relay with one device that takes nothing until told. */
async function withTaker(
  t: TestContext,
): Promise<{ started: TestRelay; taker: Taker; stream: Promise<Stream> }> {
  const started = await startTestRelay(t);
  const taker = new Taker();
  let tell = (_stream: Stream): void => {};
  const stream = new Promise<Stream>((resolve) => {
    tell = resolve;
  });
  await started.connect({
    stream: (inbound) => {
      inbound.accept(taker);
      tell(inbound);
    },
  });
  return { started, taker, stream };
}

test("raw stream: 8 MiB there and back arrive whole", async (t) => {
  const started = await startTestRelay(t);
  await started.connect({ duplex: (duplex) => void duplex.pipe(duplex) });
  const { ws, closed } = await openRaw(t, started);
  const sent = randomBytes(8 << 20);
  const received: Buffer[] = [];
  let paused = false;
  let resume = (): void => {};
  ws.on("message", (data: Buffer, isBinary) => {
    if (isBinary) {
      received.push(data);
      return;
    }
    paused = data.toString() === "pause";
    if (!paused) resume();
  });
  for (let at = 0; at < sent.length; at += 65_536) {
    await new Promise<void>((resolve) => {
      ws.send(sent.subarray(at, at + 65_536), () => resolve());
    });
    if (!paused) continue;
    await new Promise<void>((resolve) => {
      resume = resolve;
    });
  }
  ws.send(Buffer.alloc(0));
  assert.equal(await closed, 1000);
  assert.ok(Buffer.concat(received).equals(sent));
  await started.relay.whenIdle();
  assert.equal(started.relay.inspect().streams, 0);
});

test("raw stream: a client is told to pause while the device takes nothing, and to resume", async (t) => {
  const { started, taker, stream } = await withTaker(t);
  const { ws } = await openRaw(t, started);
  const told: string[] = [];
  const tellings = new Changes();
  ws.on("message", (data: Buffer, isBinary) => {
    if (!isBinary) told.push(data.toString());
    tellings.tell();
  });
  const piece = randomBytes(65_536);
  let sent = 0;
  for (; told.length === 0; sent += piece.length) {
    assert.ok(sent < 4 << 20, "no pause in 4 MiB");
    await new Promise<void>((resolve) => ws.send(piece, () => resolve()));
    await setImmediate();
  }
  assert.deepEqual(told, ["pause"]);
  taker.take(await stream);
  await tellings.until(() => told.length === 2, "the second word of the relay");
  assert.deepEqual(told, ["pause", "resume"]);
  const takenBytes = (): number => taker.pieces.reduce((sum, each) => sum + each.length, 0);
  await taker.changes.until(() => takenBytes() >= sent, "the last byte");
  assert.equal(takenBytes(), sent);
});

test("raw stream: a client that goes on regardless is closed with 1013", async (t) => {
  const { started, taker } = await withTaker(t);
  const { ws, closed } = await openRaw(t, started);
  for (let count = 0; count < 96; count++) ws.send(Buffer.alloc(65_536));
  assert.equal(await closed, 1013);
  assert.ok((await taker.closed) instanceof Error);
  assert.equal(started.relay.inspect().chunksOut, 0);
});

test("raw stream: a client that reads nothing holds the device at its window", async (t) => {
  const started = await startTestRelay(t);
  const total = 32 << 20;
  let written = 0;
  const device = await started.connect({
    duplex: async (duplex) => {
      duplex.on("error", () => {});
      duplex.resume();
      const piece = Buffer.alloc(65_536, 7);
      while (written < total) {
        written += piece.length;
        if (!duplex.write(piece)) await once(duplex, "drain");
      }
      duplex.end();
    },
  });
  const { ws, closed } = await openRaw(t, started);
  ws.pause();
  // Nothing moves any more once every buffer on the way is full: no credit comes in front of a second pong.
  let before = -1;
  while (written !== before) {
    before = written;
    for (let count = 0; count < 2; count++) {
      device.webSocket.ping();
      await once(device.webSocket, "pong");
    }
  }
  assert.ok(written < total, `the device could write ${written} bytes`);
  let received = 0;
  const arrivals = new Changes();
  ws.on("message", (data: Buffer) => {
    received += data.length;
    arrivals.tell();
  });
  ws.resume();
  await arrivals.until(() => received >= total, "the last byte");
  ws.send(Buffer.alloc(0));
  assert.equal(await closed, 1000);
  assert.equal(received, total);
});

test("raw stream: text is 1003, a message after the end 1002", async (t) => {
  const { started } = await withTaker(t);
  const first = await openRaw(t, started);
  first.ws.send("text");
  assert.equal(await first.closed, 1003);
  const second = await openRaw(t, started);
  second.ws.send(Buffer.alloc(0));
  second.ws.send(Buffer.from("more"));
  assert.equal(await second.closed, 1002);
  await until(() => started.relay.inspect().streams === 0, "the end of the streams");
});

test("raw stream: the first of the offered subprotocols is taken", async (t) => {
  const { started } = await withTaker(t);
  const url = `ws://127.0.0.1:${started.relay.internalPort}/internal/session/${refOf(started)}/stream`;
  const headers = { authorization: `Bearer ${SECRET}` };
  const ws = new WebSocket(url, ["one", "two"], { headers });
  await once(ws, "open");
  assert.equal(ws.protocol, "one");
  ws.terminate();
});

test("raw stream: a reset of the device is 1011", async (t) => {
  const { started, stream } = await withTaker(t);
  const { closed } = await openRaw(t, started);
  (await stream).reset();
  assert.equal(await closed, 1011);
});

test("raw stream: a lost device is 1011", async (t) => {
  const started = await startTestRelay(t);
  const device = await started.connect({ duplex: (duplex) => duplex.on("error", () => {}) });
  const { closed } = await openRaw(t, started);
  await device.opened();
  device.close();
  assert.equal(await closed, 1011);
});

test("raw stream: a client that goes away resets the stream", async (t) => {
  const { started, taker, stream } = await withTaker(t);
  const { ws } = await openRaw(t, started);
  await stream;
  ws.terminate();
  assert.ok((await taker.closed) instanceof Error);
  assert.equal(started.relay.inspect().streams, 0);
  // It is in the log as broken off.
  await until(() => started.log.some((line) => line["stage"] === "mid_stream"), "its line");
});

test("raw stream: upgrades are refused as requests are", async (t) => {
  const started = await startTestRelay(t, { inFlightPerDeviceMax: 1 });
  const path = `/internal/session/${refOf(started)}/stream`;
  assert.deepEqual(await refusedUpgrade(started, path, "Bearer x"), [
    401,
    "ERR_RELAY_UNAUTHORIZED",
  ]);
  assert.deepEqual(await refusedUpgrade(started, path), [404, "ERR_RELAY_NO_SESSION"]);
  assert.deepEqual(await refusedUpgrade(started, "/internal/session/vAc_x/stream"), [
    404,
    "ERR_RELAY_BAD_REFERENCE",
  ]);
  await started.connect({ duplex: (duplex) => duplex.on("error", () => {}) });
  await openRaw(t, started);
  assert.deepEqual(await refusedUpgrade(started, path), [503, "ERR_RELAY_OVERLOADED"]);
  await started.internal(path.replace("stream", "close?drain=30"), { method: "POST" });
  assert.deepEqual(await refusedUpgrade(started, path), [503, "ERR_RELAY_OFFLINE"]);
});

test("unknown paths are 404, other methods 405 with Allow, all as problems", async (t) => {
  const started = await startTestRelay(t);
  const base = `/internal/session/${refOf(started)}`;
  for (const [method, path, status, code, allow] of [
    ["GET", "/", 404, "ERR_RELAY_NOT_FOUND"],
    ["GET", "/internal", 404, "ERR_RELAY_NOT_FOUND"],
    ["GET", "/internal/sessions/", 404, "ERR_RELAY_NOT_FOUND"],
    ["GET", "//internal/sessions", 404, "ERR_RELAY_NOT_FOUND"],
    ["GET", `${base}/`, 404, "ERR_RELAY_NOT_FOUND"],
    ["GET", `${base}/forward`, 404, "ERR_RELAY_NOT_FOUND"],
    ["GET", `${base}/forwards/x`, 404, "ERR_RELAY_NOT_FOUND"],
    ["GET", `${base}/close/x`, 404, "ERR_RELAY_NOT_FOUND"],
    ["GET", "/internal/session/", 404, "ERR_RELAY_BAD_REFERENCE"],
    ["GET", "/internal/session/%zz", 404, "ERR_RELAY_BAD_REFERENCE"],
    ["GET", "/internal/session/hwk_12345678", 404, "ERR_RELAY_BAD_REFERENCE"],
    ["GET", "/internal/session/vAc_1234567/close", 404, "ERR_RELAY_BAD_REFERENCE"],
    ["GET", base, 404, "ERR_RELAY_NO_SESSION"],
    ["GET", `${base}/forward/x`, 404, "ERR_RELAY_NO_SESSION"],
    ["POST", "/healthz", 405, "ERR_RELAY_METHOD", "GET, HEAD"],
    ["PUT", "/metrics", 405, "ERR_RELAY_METHOD", "GET, HEAD"],
    ["DELETE", "/internal/sessions", 405, "ERR_RELAY_METHOD", "GET, HEAD"],
    ["POST", base, 405, "ERR_RELAY_METHOD", "GET, HEAD"],
    ["GET", `${base}/close`, 405, "ERR_RELAY_METHOD", "POST"],
    ["POST", `${base}/stream`, 405, "ERR_RELAY_METHOD", "GET"],
    ["GET", `${base}/stream`, 426, "ERR_RELAY_UPGRADE_REQUIRED"],
    ["POST", `${base}/close?drain=x`, 400, "ERR_RELAY_BAD_QUERY"],
    ["POST", `${base}/close?drain=301`, 400, "ERR_RELAY_BAD_QUERY"],
    ["POST", `${base}/close?drain=-1`, 400, "ERR_RELAY_BAD_QUERY"],
  ] as const) {
    const answer = await started.internal(path, { method });
    const label = `${method} ${path}`;
    assert.equal(answer.status, status, label);
    assert.equal(answer.headers["content-type"], "application/problem+json", label);
    assert.equal(answer.headers["allow"], allow, label);
    const problem = JSON.parse(answer.text);
    assert.deepEqual([problem.code, problem.status], [code, status], label);
    assert.equal(problem.request_id, answer.headers["x-request-id"], label);
  }
});

test("HEAD is answered without a body, and the connection goes on", async (t) => {
  const started = await startTestRelay(t);
  await started.connect({ http: (_req, res) => res.end("hello") });
  const base = `/internal/session/${refOf(started)}`;
  for (const path of [
    "/healthz",
    "/metrics",
    "/internal/sessions",
    base,
    `${base}/forward/x`,
    "/nothing",
  ]) {
    const head = await started.internal(path, { method: "HEAD" });
    const get = await started.internal(path);
    assert.equal(head.status, get.status, path);
    assert.equal(head.text, "", path);
  }
});

test("a reference may come escaped, a caller's request id is kept", async (t) => {
  const started = await startTestRelay(t);
  await started.connect({});
  const escaped = refOf(started).replace("_", "%5F");
  const answer = await started.internal(`/internal/session/${escaped}`);
  assert.equal(JSON.parse(answer.text).token, refOf(started));
  const headers = { "x-request-id": "caller-id-1" };
  const missing = await started.internal("/nothing", { headers });
  assert.equal(missing.headers["x-request-id"], "caller-id-1");
});

test("metrics tell what happened", async (t) => {
  const started = await startTestRelay(t);
  const device = await started.connect({ http: (_req, res) => res.end("hello") });
  const id = started.devices[0]?.deviceId;
  assert.equal((await started.edge(`/d/${id}/x`)).text, "hello");
  await started.internal(`/internal/session/${refOf(started)}/forward/x`);
  await started.edge(`/d/${id}/x`, { headers: { authorization: "Bearer wrong" } });
  const { text, headers } = await started.internal("/metrics");
  assert.match(String(headers["content-type"]), /^text\/plain; version=0\.0\.4/);
  for (const line of [
    'hawser_relay_requests_total{front="edge",status="200"} 1',
    'hawser_relay_requests_total{front="edge",status="401"} 1',
    'hawser_relay_requests_total{front="internal",status="200"} 1',
    'hawser_relay_response_bytes_total{front="edge"} 5',
    'hawser_relay_first_byte_seconds_count{front="edge"} 1',
    "hawser_relay_tunnels 1",
    "hawser_relay_sessions 1",
    "hawser_relay_requests_in_flight 0",
    "hawser_relay_streams_opened_total 1",
    "hawser_relay_streams_reused_total 1",
    "hawser_relay_window_stalls_total 0",
    "hawser_relay_protocol_errors_total 0",
  ]) {
    assert.ok(text.includes(`\n${line}\n`), line);
  }
  device.close();
  await device.closed;
  await until(() => started.relay.inspect().tunnels === 0, "the end of the tunnel");
  const after = await started.internal("/metrics");
  assert.match(after.text, /\nhawser_relay_tunnels_closed_total\{code="1006"\} 1\n/);
});

test("the device never sees the internal secret", async (t) => {
  const started = await startTestRelay(t);
  const seen: string[] = [];
  await started.connect({
    http: (req, res) => {
      seen.push(JSON.stringify(req.rawHeaders));
      res.end();
    },
  });
  const path = `/internal/session/${refOf(started)}/forward/`;
  await started.internal(path);
  await started.internal(path, { headers: { "x-hawser-authorization": "Bearer of-the-client" } });
  assert.equal(seen.length, 2);
  assert.equal(seen.join("").includes(SECRET), false);
  assert.match(seen[1] ?? "", /"authorization","Bearer of-the-client"/);
});
