import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as dial, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import type { Stream, StreamHandler } from "../../../src/mux/index.ts";
import { startTestRelay, type TestRelay } from "../../support/relay/start-relay.ts";
import { until } from "../../support/until.ts";

/** The receive window of a stream at its start. */
const WINDOW_BYTES = 256 * 1024;

/** One stream at the device: takes what comes, and gives credit back only where it is told to. */
class Taker implements StreamHandler {
  readonly stream: Stream;
  text = "";
  #bytes = 0;
  readonly #consumes: boolean;
  #waiting: { bytes: number; resolve: () => void } | null = null;
  #expected: { end: string; resolve: () => void } | null = null;

  constructor(stream: Stream, consumes: boolean) {
    this.stream = stream;
    this.#consumes = consumes;
    stream.accept(this);
  }

  /** Resolves when so many bytes have come. */
  received(bytes: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = { bytes, resolve };
      this.#tell();
    });
  }

  /** Resolves when what came ends with `end`. */
  endsWith(end: string): Promise<void> {
    return new Promise((resolve) => {
      this.#expected = { end, resolve };
      this.#tell();
    });
  }

  streamOnData(stream: Stream, chunk: Uint8Array, start: number, end: number): void {
    this.#bytes += end - start;
    if (this.#consumes) {
      this.text += Buffer.from(chunk.subarray(start, end)).toString("latin1");
      stream.consume(end - start);
    }
    this.#tell();
  }

  streamOnEnd(): void {}
  streamOnWritable(): void {}
  streamOnClose(): void {}

  #tell(): void {
    if (this.#waiting !== null && this.#bytes >= this.#waiting.bytes) this.#waiting.resolve();
    if (this.#expected !== null && this.text.endsWith(this.#expected.end)) this.#expected.resolve();
  }
}

async function clientOf(t: TestContext, relay: TestRelay, ...fields: string[]): Promise<Socket> {
  const socket = dial(relay.relay.port, "127.0.0.1");
  socket.on("error", () => {});
  t.after(() => socket.destroy());
  await once(socket, "connect");
  const head = [
    `PUT /d/${relay.devices[0]?.deviceId}/ HTTP/1.1`,
    "host: relay.example",
    `authorization: Bearer ${relay.key.text}`,
    ...fields,
    "",
    "",
  ];
  socket.write(head.join("\r\n"));
  return socket;
}

/** Resolves when what the client received holds `text`. */
function answered(socket: Socket, text: string): Promise<void> {
  let received = "";
  return new Promise((resolve) => {
    socket.on("data", (piece: Buffer) => {
      received += piece.toString("latin1");
      if (received.includes(text)) resolve();
    });
  });
}

for (const chunked of [false, true]) {
  test(`an early answer to a paused upload, ${chunked ? "chunked" : "with a length"}, in two pieces`, async (t) => {
    const relay = await startTestRelay(t);
    let stream: (taker: Taker) => void = () => {};
    const opened = new Promise<Taker>((resolve) => {
      stream = resolve;
    });
    await relay.connect({ stream: (inbound) => stream(new Taker(inbound, false)) });
    const socket = await clientOf(t, relay, "content-length: 20000000");
    socket.write(Buffer.alloc(4_000_000));
    const taker = await opened;
    await taker.received(WINDOW_BYTES);
    const [framing, first, last] = chunked
      ? ["transfer-encoding: chunked", "5\r\n12345\r\n", "5\r\n67890\r\n0\r\n\r\n"]
      : ["content-length: 10", "12345", "67890"];
    const begun = answered(socket, "12345");
    taker.stream.write(Buffer.from(`HTTP/1.1 413 No\r\n${framing}\r\n\r\n${first}`));
    await begun;
    const ended = answered(socket, "67890");
    taker.stream.write(Buffer.from(last));
    await ended;
    await relay.relay.whenIdle();
    assert.deepEqual([relay.relay.inspect().running, relay.relay.inspect().tunnels], [0, 1]);
  });
}

test("an early answer in one piece reaches a client that is still sending; its connection goes on", async (t) => {
  const relay = await startTestRelay(t);
  const bodyBytes = 8_000_000;
  const takers: Taker[] = [];
  await relay.connect({ stream: (inbound) => takers.push(new Taker(inbound, false)) });
  const socket = await clientOf(t, relay, `content-length: ${bodyBytes}`);
  // More than a window: the upload is paused when the answer comes.
  socket.write(Buffer.alloc(bodyBytes / 2));
  await until(() => takers.length === 1, "the stream of the upload");
  const refused = answered(socket, "too large");
  takers[0]?.stream.write(Buffer.from("HTTP/1.1 413 No\r\ncontent-length: 9\r\n\r\ntoo large"));
  await refused;
  socket.write(Buffer.alloc(bodyBytes / 2));
  const next = answered(socket, "next");
  const [device] = relay.devices;
  socket.write(
    `GET /d/${device?.deviceId}/ HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${relay.key.text}\r\n\r\n`,
  );
  await until(() => takers.length === 2, "the stream of the next request");
  takers[1]?.stream.write(Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext"));
  await next;
  await relay.relay.whenIdle();
});

test("a client that leaves while its upload is paused and its response blocked", async (t) => {
  const relay = await startTestRelay(t);
  let stream: (taker: Taker) => void = () => {};
  const opened = new Promise<Taker>((resolve) => {
    stream = resolve;
  });
  await relay.connect({ stream: (inbound) => stream(new Taker(inbound, false)) });
  const socket = await clientOf(t, relay, "content-length: 20000000");
  socket.pause();
  socket.write(Buffer.alloc(4_000_000));
  const taker = await opened;
  await taker.received(WINDOW_BYTES);
  taker.stream.write(Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 20000000\r\n\r\n"));
  taker.stream.write(Buffer.alloc(19_000_000));
  // Held bytes at the relay mean that the client's socket takes no more.
  await until(() => relay.relay.inspect().receivedBytes >= WINDOW_BYTES / 2, "held bytes");
  socket.resetAndDestroy();
  await relay.relay.whenIdle();
  const { running, tunnels, receivedBytes } = relay.relay.inspect();
  assert.deepEqual([running, tunnels, receivedBytes], [0, 1, 0]);
});

/** Refuses the first stream; gives the second. */
async function refuseFirst(
  relay: TestRelay,
): Promise<{ refused: Promise<void>; second: Promise<Taker> }> {
  let streams = 0;
  let tellRefused = (): void => {};
  let tellSecond: (taker: Taker) => void = () => {};
  const refused = new Promise<void>((resolve) => {
    tellRefused = resolve;
  });
  const second = new Promise<Taker>((resolve) => {
    tellSecond = resolve;
  });
  await relay.connect({
    stream: (stream) => {
      streams += 1;
      if (streams === 1) {
        stream.reset();
        tellRefused();
      } else tellSecond(new Taker(stream, true));
    },
  });
  return { refused, second };
}

test("a body that comes after its first stream was refused goes to the second", async (t) => {
  const relay = await startTestRelay(t);
  const { second } = await refuseFirst(relay);
  const socket = await clientOf(t, relay, "content-length: 5");
  const taker = await second;
  socket.write("hello");
  await taker.endsWith("\r\n\r\nhello");
});

test("the end of an empty chunked body is said again on the second stream", async (t) => {
  const relay = await startTestRelay(t);
  const { second } = await refuseFirst(relay);
  const socket = await clientOf(t, relay, "transfer-encoding: chunked");
  socket.write("0\r\n\r\n");
  const taker = await second;
  await taker.endsWith("\r\n\r\n0\r\n\r\n");
});

test("a client that reads nothing is cut in time, its device being gone too", {
  timeout: 20_000,
}, async (t) => {
  const relay = await startTestRelay(t, { idleTimeoutMs: 1_000 });
  let opened: (stream: Stream) => void = () => {};
  const stream = new Promise<Stream>((resolve) => {
    opened = resolve;
  });
  const device = await relay.connect({ stream: (inbound) => opened(inbound) });
  const socket = await clientOf(t, relay, "content-length: 0");
  socket.pause();
  const taker = new Taker(await stream, true);
  taker.stream.write(Buffer.from("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"));
  const chunk = Buffer.concat([
    Buffer.from("4000\r\n"),
    Buffer.alloc(0x4000),
    Buffer.from("\r\n0\r\n\r\n"),
  ]);
  // Held bytes at the relay mean that the client's socket takes no more.
  const holdsHalf = (): boolean => {
    taker.stream.write(chunk.subarray(0, -5));
    return relay.relay.inspect().receivedBytes >= WINDOW_BYTES / 2;
  };
  await until(holdsHalf, "half a window that waits for the client");
  // The response is whole, in the window that the device still has.
  taker.stream.write(chunk);
  await until(() => taker.stream.queuedBytes === 0, "the stream without queued bytes");
  device.webSocket.close();
  await device.closed;
  assert.equal(relay.relay.inspect().running, 1);
  await relay.relay.whenIdle();
  const line = relay.log.find((entry) => entry["msg"] === "request");
  assert.equal(line?.["stage"], "mid_stream");
});
