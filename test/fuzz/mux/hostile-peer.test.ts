import assert from "node:assert/strict";
import { test } from "node:test";
import type { AppError } from "../../../src/core/errors.ts";
import { MuxPools, type Stream, type StreamHandler } from "../../../src/mux/index.ts";
import {
  concat,
  data,
  FLAG,
  frame,
  goAway,
  pattern,
  ping,
  TYPE,
} from "../../support/mux/frames.ts";
import { Harness } from "../../support/mux/harness.ts";
import { Prng, seedFromEnvironment } from "../../support/mux/prng.ts";

const RUNS = 4_000;

/** An application that does something at random whenever it is told something. */
class WildApp implements StreamHandler {
  readonly streams = new Set<Stream>();
  readonly resets = new Set<Stream>();
  readonly closed = new Set<Stream>();
  /** Bytes delivered and not consumed. */
  readonly #waiting = new Map<Stream, number>();
  readonly #prng: Prng;
  harness: Harness | null = null;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  streamOnData(stream: Stream, _chunk: Uint8Array, start: number, end: number): void {
    this.#told(stream);
    this.#waiting.set(stream, (this.#waiting.get(stream) ?? 0) + end - start);
    this.act(stream);
  }

  streamOnEnd(stream: Stream): void {
    this.#told(stream);
    this.act(stream);
  }

  streamOnWritable(stream: Stream): void {
    this.#told(stream);
    this.act(stream);
  }

  streamOnClose(stream: Stream, _error: AppError | null): void {
    this.#told(stream);
    this.closed.add(stream);
    const [other] = this.streams;
    if (other !== undefined && this.#prng.oneIn(3)) this.act(other);
  }

  /** One deed on a stream, which may be gone. */
  act(stream: Stream): void {
    const deed = this.#prng.below(10);
    if (deed === 9) this.#consume(stream);
    else if (deed < 3) this.#write(stream);
    else if (deed === 3) stream.end();
    else if (deed === 4 && this.#prng.oneIn(2)) this.#reset(stream);
    else if (deed === 5) this.#consume(stream);
    else if (deed === 6) this.open();
    else if (deed === 7 && this.#prng.oneIn(20)) this.harness?.session.drain(1001, "drain");
    else if (deed === 8 && this.#prng.oneIn(20)) this.harness?.session.close(1000, "close", 0);
  }

  open(): void {
    const { session } = this.harness ?? {};
    if (session?.canOpen === true) this.streams.add(session.open(this));
  }

  #write(stream: Stream): void {
    if (stream.closed || stream.localEnded) return;
    const bytes = pattern(this.#prng.pick([0, 1, 100, 20_000, 300_000]));
    stream.write(bytes);
    bytes.fill(0);
  }

  #consume(stream: Stream): void {
    const bytes = this.#waiting.get(stream) ?? 0;
    this.#waiting.set(stream, 0);
    stream.consume(bytes);
  }

  #reset(stream: Stream): void {
    if (stream.closed) return;
    this.resets.add(stream);
    stream.reset();
  }

  #told(stream: Stream): void {
    assert.ok(!this.closed.has(stream), "nothing is told after the close");
    assert.ok(!this.resets.has(stream), "nothing is told after our reset");
  }
}

/** Ids that a peer uses: mostly those that exist, now and then any. */
class Ids {
  readonly #prng: Prng;
  readonly #app: WildApp;
  #next: number;

  constructor(prng: Prng, app: WildApp, first: number) {
    this.#prng = prng;
    this.#app = app;
    this.#next = first;
  }

  fresh(): number {
    if (this.#prng.oneIn(100)) return this.#prng.below(12);
    this.#next += 2;
    return this.#next - 2;
  }

  known(): number {
    if (this.#prng.oneIn(300)) return this.#prng.below(12);
    const ids = [...this.#app.streams].map((stream) => stream.id).filter((id) => id !== 0);
    const recent = Math.max(
      this.#next - 2 * this.#prng.between(1, 5),
      this.#next % 2 === 0 ? 2 : 1,
    );
    return this.#prng.oneIn(3) ? recent : (ids[this.#prng.below(ids.length)] ?? recent);
  }
}

/** A frame that a peer might send, now and then a wrong one. */
function drawFrame(prng: Prng, ids: Ids): Uint8Array {
  const kind = prng.below(14);
  const wild = prng.oneIn(100) ? prng.below(16) : 0;
  if (kind === 0) return ping(prng.uint32());
  if (kind === 1) return frame(TYPE.PING, prng.below(16), ids.known(), prng.below(4));
  if (kind === 2) return prng.oneIn(8) ? goAway(prng.oneIn(5) ? prng.below(4) : 0) : ping(1);
  if (kind < 5) {
    const flags = FLAG.SYN | (prng.oneIn(8) ? prng.pick([FLAG.FIN, FLAG.RST, FLAG.ACK]) : 0);
    const first = prng.pick([0, 0, 5, 3_000]);
    if (prng.oneIn(3)) return data(ids.fresh(), pattern(first), flags);
    return frame(TYPE.WINDOW_UPDATE, flags, ids.fresh(), first);
  }
  if (kind < 9) {
    const flags = prng.pick([0, 0, 0, 0, 0, FLAG.FIN, FLAG.ACK, FLAG.RST, wild]);
    return data(ids.known(), pattern(prng.pick([0, 1, 50, 500, 5_000, 60_000])), flags);
  }
  const flags = prng.pick([FLAG.ACK, FLAG.ACK, 0, 0, 0, FLAG.FIN, FLAG.RST, wild]);
  return frame(TYPE.WINDOW_UPDATE, flags, ids.known(), prng.pick([0, 0, 1, 3_000, 200_000]));
}

/** One conversation with a wild peer and a wild application. Returns how the session ended, 0 for by us. */
function converse(seed: number): number {
  const prng = new Prng(seed);
  const app = new WildApp(prng);
  const pools = new MuxPools();
  const harness = new Harness(
    prng.oneIn(2) ? "client" : "server",
    {
      maxUnackedOpens: prng.pick([1, 2, 256]),
      acceptBacklog: prng.pick([1, 256]),
      maxInboundStreams: prng.pick([1, 1_024]),
      maxSessionRecvBufferBytes: prng.pick([150_000, 16_000_000]),
      finHoldMs: prng.pick([0, 1_000]),
      overrunPolicy: prng.pick(["session", "stream"]),
      guardPeer: prng.oneIn(2),
      hardWsMessageOut: prng.oneIn(2),
      maxWsMessageOutBytes: prng.pick([2_000, 65_548]),
    },
    { pools, afterReceive: prng.pick(["overwrite", "detach"]) },
  );
  app.harness = harness;
  const ids = new Ids(prng, app, harness.session.role === "client" ? 2 : 1);
  for (let step = 0; step < 40 && harness.session.isOpen; step++) {
    harness.transport.stuck = prng.oneIn(6);
    if (!harness.transport.stuck && harness.transport.buffered > 0) harness.unfillQuietly();
    if (prng.oneIn(300)) harness.transport.drops = true;
    const bytes = concat(Array.from({ length: prng.between(1, 4) }, () => drawFrame(prng, ids)));
    const cut = prng.below(bytes.length + 1);
    harness.feed(bytes.slice(0, cut));
    harness.feed(bytes.slice(cut));
    acceptSome(harness, app, prng);
    if (prng.oneIn(3)) app.open();
    for (const stream of app.streams) if (prng.oneIn(4)) app.act(stream);
    if (prng.oneIn(2)) harness.settle();
    if (prng.oneIn(10)) harness.advance(prng.pick([10, 1_500, 12_000, 40_000]));
  }
  harness.settle();
  const code = harness.transport.closeCodes()[0] ?? 0;
  if (code === 1011) throw harness.closes[0];
  assert.notEqual(code, 1011, "no internal failure");
  harness.session.transportClosed(1006);
  assert.equal(harness.closes.length, 1);
  assert.notEqual((harness.closes[0] as AppError).code, "ERR_MUX_INTERNAL");
  assert.equal(harness.session.streamCount, 0);
  for (const stream of app.streams) {
    assert.equal(stream.closed, true);
    assert.ok(
      app.closed.has(stream) !== app.resets.has(stream),
      "told its end once, or reset by us",
    );
    assert.equal(stream.queuedBytes + stream.unconsumed, 0);
  }
  const { recvHeldBytes, windowGrownBytes, batchesOut } = pools;
  assert.deepEqual([recvHeldBytes, windowGrownBytes, batchesOut], [0, 0, 0], "all is given back");
  return code;
}

function acceptSome(harness: Harness, app: WildApp, prng: Prng): void {
  for (const one of harness.announced) {
    const stream = one.live;
    if (stream.closed || app.streams.has(stream) || prng.oneIn(3)) continue;
    if (prng.oneIn(8)) {
      stream.reset();
      continue;
    }
    app.streams.add(stream);
    stream.accept(app);
  }
}

test("a wild peer and a wild application leave nothing behind and meet no internal failure", (t) => {
  const first = seedFromEnvironment(0);
  const [from, to] = first === 0 ? [1, RUNS] : [first, first];
  const ends = new Map<number, number>();
  for (let seed = from; seed <= to; seed++) {
    try {
      const code = converse(seed);
      ends.set(code, (ends.get(code) ?? 0) + 1);
    } catch (error) {
      throw new Error(`HAWSER_SEED=${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  t.diagnostic(`closes: ${JSON.stringify([...ends].sort(([a], [b]) => a - b))}`);
});
