import assert from "node:assert/strict";
import { ManualClock } from "../../../src/core/clock.ts";
import type { AppError } from "../../../src/core/errors.ts";
import {
  type MuxOptions,
  MuxPools,
  muxOptions,
  type Role,
  Session,
  type SessionHandler,
  type Stream,
  type StreamHandler,
} from "../../../src/mux/index.ts";
import {
  concat,
  describe,
  frame,
  notation,
  parseWhole,
  ping,
  pong,
  syn,
  type WireFrame,
} from "./frames.ts";
import { isOwnPing, RecordingTransport } from "./recording-transport.ts";

/** What happens to a received chunk once the session has returned from it. */
export type AfterReceive = "overwrite" | "detach" | "keep";

/** How a stream of the harness behaves by itself. */
export interface StreamBehaviour {
  /** Consume all data in the call that delivers it. Default true. */
  readonly consumes?: boolean;
  /** Keep a copy of what arrives. Default true. */
  readonly keeps?: boolean;
}

/** Records all that a stream tells, and copies the bytes it is lent. */
export class RecordingStream implements StreamHandler {
  stream: Stream | null = null;
  readonly events: string[] = [];
  readonly chunks: Uint8Array[] = [];
  receivedBytes = 0;
  ended = false;
  closes = 0;
  writables = 0;
  error: AppError | null = null;
  /** Run inside the named event, to test re-entry. */
  onEvent: ((event: string) => void) | null = null;
  readonly #behaviour: StreamBehaviour;

  constructor(behaviour: StreamBehaviour = {}) {
    this.#behaviour = behaviour;
  }

  get live(): Stream {
    assert.ok(this.stream !== null, "the stream exists");
    return this.stream;
  }

  /** Everything received, as Latin-1 text. */
  get text(): string {
    return Buffer.concat(this.chunks).toString("latin1");
  }

  streamOnData(stream: Stream, chunk: Uint8Array, start: number, end: number): void {
    assert.ok(start >= 0 && start < end && end <= chunk.length, `slice ${start}..${end} is real`);
    if (this.#behaviour.keeps !== false) this.chunks.push(chunk.slice(start, end));
    this.receivedBytes += end - start;
    if (this.#behaviour.consumes !== false) stream.consume(end - start);
    this.#note(`data ${end - start}`, this.#behaviour.keeps !== false);
  }

  streamOnEnd(_stream: Stream): void {
    this.ended = true;
    this.#note("end");
  }

  streamOnWritable(_stream: Stream): void {
    this.writables++;
    this.#note("writable");
  }

  streamOnClose(_stream: Stream, error: AppError | null): void {
    this.closes++;
    this.error = error;
    this.#note(error === null ? "close" : `close ${error.code}`);
  }

  #note(event: string, keeps = true): void {
    assert.ok(
      this.closes === 0 || (this.closes === 1 && event.startsWith("close")),
      `no "${event}" after the last event`,
    );
    if (keeps) this.events.push(event);
    this.onEvent?.(event);
  }
}

export interface HarnessBehaviour {
  /** Accept inbound streams in the announcement. Default false. */
  readonly accepts?: boolean;
  /** Behaviour of accepted and opened streams. */
  readonly stream?: StreamBehaviour;
  /** Answer the session's own pings. Default true. */
  readonly pongs?: boolean;
  readonly afterReceive?: AfterReceive;
  readonly pools?: MuxPools;
  readonly clock?: ManualClock;
  /** Tell the session of the end of its transport as soon as it asked for it. Default true. */
  readonly finishesClose?: boolean;
}

/**
 * One session over a recording transport and a manual clock, with the owner's duties (flush at the end of the turn,
 * tick when due, report the end of the transport) done by `settle` and `advance`.
 */
export class Harness implements SessionHandler {
  readonly clock: ManualClock;
  readonly transport = new RecordingTransport();
  readonly session: Session;
  /** Inbound streams in the order of their announcement. */
  readonly announced: RecordingStream[] = [];
  readonly goAways: number[] = [];
  readonly closes: AppError[] = [];
  dirtyCalls = 0;
  /** The rest of a ping whose begin was fed behind a case; null when there is none. */
  trailing: Uint8Array | null = null;
  /** Values of the pings that the session sent by itself. */
  readonly ownPings: number[] = [];
  readonly #behaviour: HarnessBehaviour;
  #dirty = false;
  /** Sent bytes that were not yet read for pings. */
  #unread: Uint8Array[] = [];

  constructor(role: Role, options: Partial<MuxOptions> = {}, behaviour: HarnessBehaviour = {}) {
    this.#behaviour = behaviour;
    this.clock = behaviour.clock ?? new ManualClock(1_000);
    this.session = new Session(
      role,
      muxOptions(options),
      this.transport,
      this,
      this.clock,
      behaviour.pools ?? new MuxPools(),
    );
    this.transport.session = this.session;
    this.transport.onMessage = (message) => this.#unread.push(message);
    this.session.tick();
    this.settle();
    this.transport.clear();
  }

  sessionOnDirty(_session: Session): void {
    this.dirtyCalls++;
    this.#dirty = true;
  }

  sessionOnStream(_session: Session, stream: Stream): void {
    const recording = new RecordingStream(this.#behaviour.stream);
    recording.stream = stream;
    this.announced.push(recording);
    if (this.#behaviour.accepts === true) stream.accept(recording);
  }

  sessionOnGoAway(_session: Session, code: number): void {
    this.goAways.push(code);
  }

  sessionOnClose(_session: Session, error: AppError): void {
    this.closes.push(error);
  }

  /** The nth announced stream. */
  inbound(index = 0): RecordingStream {
    const recording = this.announced[index];
    assert.ok(recording !== undefined, `stream ${index} was announced`);
    return recording;
  }

  /** Accepts the nth announced stream. */
  accept(index = 0): RecordingStream {
    const recording = this.inbound(index);
    recording.live.accept(recording);
    return recording;
  }

  /** Opens a stream; it leaves with the next settle. */
  open(behaviour: StreamBehaviour = this.#behaviour.stream ?? {}): RecordingStream {
    const recording = new RecordingStream(behaviour);
    recording.stream = this.session.open(recording);
    return recording;
  }

  /** Feeds all parts as one message, then ends the turn. */
  receive(...parts: Uint8Array[]): void {
    this.feed(concat(parts));
    this.settle();
  }

  /** Feeds one message without ending the turn. The chunk is a slice of a larger buffer, spoilt afterwards. */
  feed(message: Uint8Array): void {
    const after = this.#behaviour.afterReceive ?? "overwrite";
    const around = new Uint8Array(message.length + 29).fill(0xab);
    around.set(message, 13);
    const chunk = around.subarray(13, 13 + message.length);
    this.session.receive(chunk);
    if (after === "overwrite") around.fill(0xee);
    if (after === "detach") structuredClone(around.buffer, { transfer: [around.buffer] });
  }

  /** Ends the loop turn: flushes, answers pings, reports the end of the transport, until nothing is left. */
  settle(): void {
    for (let turn = 0; turn < 1000; turn++) {
      const worked = this.#flushOnce() || this.#readPings() || this.#finishClose();
      if (!worked) return;
    }
    assert.fail("the session never comes to rest");
  }

  /** Moves the clock by `ms`, ticking whenever the session asked for it, and ends the turn each time. */
  advance(ms: number): void {
    const target = this.clock.now() + ms;
    for (;;) {
      const due = this.session.tick();
      this.settle();
      const now = this.clock.now();
      if (now >= target) return;
      assert.ok(!Number.isNaN(due), "tick returns a time");
      this.clock.advance(Math.min(target, Math.max(due, now + 1)) - now);
    }
  }

  /** Frames sent since the last clear, without the session's own pings. */
  sent(): WireFrame[] {
    return this.transport.frames().filter((one) => !isOwnPing(one));
  }

  /** Their notation. */
  sentNotation(): string[] {
    return this.sent().map(notation);
  }

  /** Checks the bytes sent since the last clear, exactly, save the session's own pings; then clears. */
  expectSent(...expected: Uint8Array[]): void {
    const wanted = concat(expected);
    const found = concat(this.sent().map(encode));
    assert.deepEqual(describe(found), describe(wanted));
    assert.ok(Buffer.compare(found, wanted) === 0, "the bytes are the same, not only the fields");
    this.transport.clear();
  }

  /** Checks the end by a protocol error: GoAway(code) last, then the close code, every stream told, deaf afterwards. */
  expectFatal(code = 1, closeCode = 1002): void {
    const last = this.transport.frames().at(-1);
    assert.ok(last !== undefined, "something was sent");
    assert.equal(notation(last), `GoAway(${code})`);
    assert.deepEqual(this.transport.closeCodes(), [closeCode]);
    assertReason(this.transport.closes[0]?.reason ?? "");
    assert.equal(this.closes.length, 1, "the session told its end once");
    assert.equal(this.session.isOpen, false);
    assert.equal(this.session.streamCount, 0);
    const messages = this.transport.messages.length;
    const announced = this.announced.length;
    this.feed(concat([ping(0x0badcafe), syn(0x1001), syn(0x1001)]));
    this.settle();
    assert.equal(this.transport.messages.length, messages, "nothing is sent after the end");
    assert.equal(this.announced.length, announced, "nothing is processed after the end");
  }

  /** Checks that the session is open and answers a ping. Clears what was sent. */
  expectAlive(): void {
    assert.equal(this.session.isOpen, true, "the session is open");
    assert.deepEqual(this.transport.closeCodes(), []);
    assert.equal(this.transport.terminations, 0);
    this.finishTrailing();
    this.transport.clear();
    this.receive(ping(0x0badcafe));
    assert.deepEqual(this.sentNotation(), ["Ping+ACK(0,badcafe)"]);
    this.transport.clear();
  }

  /** Fills the transport's buffer to `bytes` and lets the session notice; nothing leaves until `unfill`. */
  fill(bytes = 1_048_576): void {
    this.transport.stuck = true;
    this.transport.buffered = bytes;
    this.receive(ping(0xf111));
    this.expectSentPong(0xf111);
    this.transport.clear();
  }

  /** Empties the transport's buffer and says so. */
  unfill(): void {
    this.transport.stuck = false;
    this.transport.buffered = 0;
    this.session.transportDrained();
    this.settle();
  }

  /** The same without ending the turn. */
  unfillQuietly(): void {
    this.transport.stuck = false;
    this.transport.buffered = 0;
    this.session.transportDrained();
  }

  /** Feeds the rest of a ping that was begun, and checks that it is answered. */
  finishTrailing(): void {
    if (this.trailing === null) return;
    const rest = this.trailing;
    this.trailing = null;
    this.receive(rest);
    this.expectSentPong(0x01020304);
  }

  /** Checks that the last thing sent is the reply to this ping. */
  expectSentPong(value: number): void {
    assert.equal(this.sentNotation().at(-1), `Ping+ACK(0,${value.toString(16)})`);
  }

  #flushOnce(): boolean {
    if (!this.#dirty) return false;
    this.#dirty = false;
    this.session.flush();
    return true;
  }

  #finishClose(): boolean {
    return this.#behaviour.finishesClose !== false && this.transport.finishClose();
  }

  #readPings(): boolean {
    if (this.#unread.length === 0) return false;
    const { frames, rest } = parseWhole(concat(this.#unread));
    this.#unread = rest.length === 0 ? [] : [rest];
    let answered = false;
    for (const one of frames) {
      if (!isOwnPing(one)) continue;
      this.ownPings.push(one.length);
      if (this.#behaviour.pongs === false || !this.session.isOpen) continue;
      this.feed(pong(one.length));
      answered = true;
    }
    return answered;
  }
}

/** A close reason must be short plain ASCII. */
export function assertReason(reason: string): void {
  assert.ok(reason.length <= 123, "the reason has at most 123 bytes");
  assert.match(reason, /^[\x20-\x7e]*$/, "the reason is plain ASCII");
}

const encode = (one: WireFrame) => frame(one.type, one.flags, one.id, one.length, one.payload);
