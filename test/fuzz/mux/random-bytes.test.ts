import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../src/core/clock.ts";
import type { AppError } from "../../../src/core/errors.ts";
import {
  MuxPools,
  muxOptions,
  Session,
  type SessionHandler,
  type Stream,
  type StreamHandler,
  type Transport,
} from "../../../src/mux/index.ts";
import { heapUsedBytes } from "../../support/mux/heap.ts";
import { Prng, seedFromEnvironment } from "../../support/mux/prng.ts";

const RUNS = 1_000_000;
const MIB = 1_048_576;

/** Owner, application and transport in one: keeps numbers alone, so that a million sessions cost little. */
class Sink implements SessionHandler, StreamHandler, Transport {
  dirty = false;
  sentBytes = 0;
  lastType = 0;
  lastLength = 0;
  closeCode = 0;
  sessionEnds = 0;
  streamEnds = 0;
  streams = 0;
  afterEnd = 0;
  error: AppError | null = null;

  reset(): void {
    this.dirty = false;
    this.sentBytes = 0;
    this.lastType = -1;
    this.lastLength = 0;
    this.closeCode = 0;
    this.sessionEnds = 0;
    this.streamEnds = 0;
    this.streams = 0;
    this.afterEnd = 0;
    this.error = null;
  }

  send(message: Uint8Array): 1 {
    this.sentBytes += message.length;
    this.lastType = message[message.length - 11] ?? -1;
    this.lastLength = message[message.length - 1] ?? -1;
    if (this.closeCode !== 0) this.afterEnd++;
    return 1;
  }

  sendParts(header: Uint8Array, payload: Uint8Array): 1 {
    this.sentBytes += header.length + payload.length;
    return 1;
  }

  bufferedAmount(): number {
    return 0;
  }

  close(code: number): void {
    this.closeCode = code;
  }

  terminate(): void {
    this.closeCode = 1006;
  }

  sessionOnDirty(): void {
    this.dirty = true;
  }

  sessionOnStream(_session: Session, stream: Stream): void {
    this.streams++;
    stream.accept(this);
  }

  sessionOnGoAway(): void {}

  sessionOnClose(_session: Session, error: AppError): void {
    this.sessionEnds++;
    this.error = error;
  }

  streamOnData(stream: Stream, _chunk: Uint8Array, start: number, end: number): void {
    if (this.sessionEnds > 0) this.afterEnd++;
    stream.consume(end - start);
  }

  streamOnEnd(): void {}

  streamOnWritable(): void {}

  streamOnClose(): void {
    if (this.sessionEnds > 0) this.afterEnd++;
    this.streamEnds++;
  }
}

/** Fills `target` with bytes that range from pure noise to nearly correct frames; returns how many. */
function draw(prng: Prng, target: Uint8Array): number {
  const length = prng.between(1, target.length);
  for (let at = 0; at < length; at += 4) {
    const word = prng.uint32();
    target[at] = word;
    target[at + 1] = word >>> 8;
    target[at + 2] = word >>> 16;
    target[at + 3] = word >>> 24;
  }
  const kind = word3(prng);
  if (kind === 0) return length;
  // Headers at every twelfth byte, with small ids, few flags and short lengths.
  for (let at = 0; at + 12 <= length; at += 12) {
    target.fill(0, at, at + 12);
    target[at + 1] = prng.below(kind === 1 ? 4 : 2);
    target[at + 3] = prng.oneIn(4) ? prng.below(16) : prng.pick([0, 1, 4]);
    target[at + 7] = prng.pick([0, 1, 1, 1, 2, 3, 3, 5]);
    target[at + 11] = prng.oneIn(3) ? prng.below(14) : 0;
    if (prng.oneIn(40)) target[at + 8] = prng.uint32();
  }
  return length;
}

const word3 = (prng: Prng) => prng.below(4);

/** What one run left behind; the empty string when all is clean. */
function unclean(session: Session, sink: Sink): string {
  if (sink.afterEnd > 0) return "something was told or sent after the end";
  if (session.isOpen) {
    if (sink.sessionEnds !== 0 || sink.closeCode !== 0) return "open, but told of an end";
    return "";
  }
  if (sink.sessionEnds !== 1) return `the end was told ${sink.sessionEnds} times`;
  if (sink.streamEnds !== sink.streams && session.streamCount !== 0) return "streams are left";
  if (sink.closeCode === 1000) return "";
  if (sink.closeCode !== 1002 && sink.closeCode !== 1008) return `closed with ${sink.closeCode}`;
  if (sink.lastType !== 3 || sink.lastLength !== 1) return "the last frame is not GoAway(1)";
  const { goAwayCode } = sink.error as unknown as { goAwayCode?: number };
  return goAwayCode === 1 ? "" : `the error is ${sink.error?.code}`;
}

test("Y19: a million random inputs end in clean outcomes only", { timeout: 120_000 }, (t) => {
  const seed = seedFromEnvironment(19);
  const prng = new Prng(seed);
  const clock = new ManualClock(1);
  const options = muxOptions();
  const pools = new MuxPools();
  const sink = new Sink();
  const bytes = new Uint8Array(40);
  const outcomes = { open: 0, fatal: 0, goneAway: 0 };
  const limit = Error.stackTraceLimit;
  t.after(() => {
    Error.stackTraceLimit = limit;
  });
  Error.stackTraceLimit = 0;
  const before = heapUsedBytes();
  for (let run = 0; run < RUNS; run++) {
    sink.reset();
    const session = new Session(
      prng.oneIn(4) ? "client" : "server",
      options,
      sink,
      sink,
      clock,
      pools,
    );
    const length = draw(prng, bytes);
    const half = prng.oneIn(2) ? length : prng.below(length);
    session.receive(bytes.subarray(0, half));
    if (half < length) session.receive(bytes.subarray(half, length));
    if (sink.dirty) session.flush();
    const problem = unclean(session, sink);
    if (problem !== "")
      assert.fail(`run ${run}, ${hexOf(bytes, half, length)}: ${problem}; HAWSER_SEED=${seed}`);
    if (session.isOpen) {
      outcomes.open++;
      session.transportClosed(1006);
      if (sink.sessionEnds !== 1) assert.fail(`run ${run}: the lost transport was not told`);
    } else if (sink.closeCode === 1000) outcomes.goneAway++;
    else outcomes.fatal++;
  }
  const growth = heapUsedBytes() - before;
  t.diagnostic(`seed ${seed}: ${JSON.stringify(outcomes)}, heap growth ${growth}`);
  assert.ok(outcomes.open > RUNS / 20, "many inputs leave the session open");
  assert.ok(outcomes.fatal > RUNS / 4, "many inputs are fatal");
  assert.ok(outcomes.goneAway > 1_000, "some are a GoAway");
  assert.ok(growth < 4 * MIB, `the heap grew by ${growth} bytes`);
  assert.equal(pools.recvHeldBytes, 0);
});

const hexOf = (bytes: Uint8Array, half: number, length: number) =>
  `${Buffer.from(bytes.subarray(0, half)).toString("hex")}|${Buffer.from(bytes.subarray(half, length)).toString("hex")}`;
