import assert from "node:assert/strict";
import { createHash, randomFillSync } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { connect as dial, type Socket } from "node:net";
import { test } from "node:test";
import { connect } from "../../../src/agent/index.ts";
import { type RelayProcess, startRelayProcess } from "../../support/process/hawser.ts";

const MIB = 1024 * 1024;
const BIG = 2048 * MIB;
const SLOW_BODY = 6 * MIB;
const SLOW_RATE = 20_000;
const SLOW = 20;
const STALLED = 20;
const STALL_MS = 60_000;
/** What one stream may hold at the relay: its first window; it grows only for those who read. */
const WINDOW = 256 * 1024;

const block = randomFillSync(Buffer.alloc(MIB));

/** SHA-256 of the first `length` bytes of the endless repetition of `block`. */
function expectedDigest(length: number): string {
  const hash = createHash("sha256");
  for (let left = length; left > 0; left -= MIB)
    hash.update(left >= MIB ? block : block.subarray(0, left));
  return hash.digest("hex");
}

/** Writes `length` bytes of the pattern, as fast as they are taken. */
function pour(length: number, target: NodeJS.WritableStream): void {
  let left = length;
  const more = (): void => {
    while (left > 0) {
      const piece = left >= MIB ? block : block.subarray(0, left);
      left -= piece.length;
      if (left === 0) target.end(piece);
      else if (!target.write(piece)) {
        target.once("drain", more);
        return;
      }
    }
  };
  more();
}

function serve(req: IncomingMessage, res: ServerResponse): void {
  const { searchParams, pathname } = new URL(req.url ?? "/", "http://device");
  if (pathname === "/down") {
    const bytes = Number(searchParams.get("bytes"));
    res.writeHead(200, searchParams.has("chunked") ? {} : { "content-length": bytes });
    pour(bytes, res);
    return;
  }
  const hash = createHash("sha256");
  req.on("data", (chunk: Buffer) => hash.update(chunk));
  req.on("end", () => res.end(hash.digest("hex")));
}

/** A reader of one download over a bare socket: at its own pace, hashing what it gets. */
class Reader {
  readonly #socket: Socket;
  readonly #hash = createHash("sha256");
  #head = "";
  #inBody = false;
  #left = 0;
  received = 0;
  readonly done: Promise<string>;

  constructor(relay: RelayProcess, bytes: number) {
    this.#left = bytes;
    this.#socket = dial({ port: relay.port, host: "127.0.0.1" });
    this.#socket.write(
      `GET /d/${relay.deviceId}/down?bytes=${bytes} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${relay.key}\r\n\r\n`,
    );
    this.done = new Promise((resolve, reject) => {
      this.#socket.on("data", (chunk: Buffer) => {
        this.#take(chunk);
        if (this.#inBody && this.#left === 0) {
          this.#socket.destroy();
          resolve(this.#hash.digest("hex"));
        }
      });
      this.#socket.on("error", reject);
      this.#socket.on("close", () => reject(new Error(`closed after ${this.received} bytes`)));
    });
    // Whoever waits for it later sees the rejection then.
    this.done.catch(() => {});
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  #take(chunk: Buffer): void {
    let body = chunk;
    if (!this.#inBody) {
      this.#head += chunk.toString("latin1");
      const end = this.#head.indexOf("\r\n\r\n");
      if (end === -1) return;
      this.#inBody = true;
      assert.match(this.#head, /^HTTP\/1\.1 200 /);
      body = Buffer.from(this.#head.slice(end + 4), "latin1");
    }
    this.received += body.length;
    this.#left -= body.length;
    this.#hash.update(body);
  }
}

async function download(relay: RelayProcess, query: string): Promise<string> {
  const req = request({
    port: relay.port,
    host: "127.0.0.1",
    path: `/d/${relay.deviceId}/down?${query}`,
    headers: { authorization: `Bearer ${relay.key}` },
  });
  req.end();
  const [res] = (await once(req, "response")) as [IncomingMessage];
  assert.equal(res.statusCode, 200);
  const hash = createHash("sha256");
  res.on("data", (chunk: Buffer) => hash.update(chunk));
  await once(res, "end");
  return hash.digest("hex");
}

async function upload(relay: RelayProcess, bytes: number, chunked: boolean): Promise<string> {
  const req = request({
    port: relay.port,
    host: "127.0.0.1",
    method: "POST",
    path: `/d/${relay.deviceId}/up`,
    headers: {
      authorization: `Bearer ${relay.key}`,
      ...(chunked ? { "transfer-encoding": "chunked" } : { "content-length": bytes }),
    },
  });
  pour(bytes, req);
  const [res] = (await once(req, "response")) as [IncomingMessage];
  assert.equal(res.statusCode, 200);
  let text = "";
  res.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
  });
  await once(res, "end");
  return text;
}

test("bodies of 2 GiB pass while slow receivers are held in bounded memory", {
  timeout: 300_000,
}, async (t) => {
  const relay = await startRelayProcess();
  const service = createServer({ requestTimeout: 0 }, serve);
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  const { port } = service.address() as { port: number };
  const agent = connect({
    relay: `ws://127.0.0.1:${relay.port}`,
    token: relay.token,
    to: `http://127.0.0.1:${port}`,
  });
  let watch: NodeJS.Timeout | undefined;
  t.after(async () => {
    // First: it reads of a process that is gone afterwards.
    clearInterval(watch);
    await agent.close({ drainMs: 0 });
    service.closeAllConnections();
    service.close();
    await relay.stop();
  });
  await agent.ready();

  // Warm, so that the growth below is that of bodies.
  assert.equal(await download(relay, `bytes=${16 * MIB}`), expectedDigest(16 * MIB));
  assert.equal(await upload(relay, 16 * MIB, false), expectedDigest(16 * MIB));
  const before = relay.rss();
  let peak = before;
  watch = setInterval(() => {
    peak = Math.max(peak, relay.rss());
  }, 100);

  const started = performance.now();
  const stalled = Array.from({ length: STALLED }, () => new Reader(relay, SLOW_BODY));
  const slow = Array.from({ length: SLOW }, () => new Reader(relay, SLOW_BODY));
  for (const reader of stalled) reader.pause();
  // 20 KB/s: a tenth of it, ten times a second, taken by opening the socket until that much came.
  const pace = setInterval(() => {
    const allowed = ((performance.now() - started) / 1000) * SLOW_RATE;
    for (const reader of slow) {
      if (reader.received < allowed) reader.resume();
      else reader.pause();
    }
  }, 100);
  t.after(() => clearInterval(pace));

  const big = expectedDigest(BIG);
  assert.equal(await download(relay, `bytes=${BIG}`), big, "download with a length");
  assert.equal(await upload(relay, BIG, false), big, "upload with a length");
  const quarter = expectedDigest(BIG / 4);
  assert.equal(await download(relay, `bytes=${BIG / 4}&chunked`), quarter, "download in chunks");
  assert.equal(await upload(relay, BIG / 4, true), quarter, "upload in chunks");

  const rest = STALL_MS - (performance.now() - started);
  if (rest > 0) {
    // The minute of silence itself is what is tested here.
    const minute = AbortSignal.timeout(Math.ceil(rest));
    await once(minute, "abort");
  }
  clearInterval(watch);
  clearInterval(pace);
  const growth = peak - before;
  t.diagnostic(`relay RSS ${Math.round(before / MIB)} MiB, growth ${Math.round(growth / MIB)} MiB`);
  const windows = (SLOW + STALLED) * WINDOW;
  assert.ok(growth < 64 * MIB + windows, `RSS grew by ${Math.round(growth / MIB)} MiB`);

  for (const reader of [...stalled, ...slow]) reader.resume();
  const expected = expectedDigest(SLOW_BODY);
  for (const reader of [...stalled, ...slow]) assert.equal(await reader.done, expected);
});
