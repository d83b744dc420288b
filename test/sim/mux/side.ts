import type { ManualClock } from "../../../src/core/clock.ts";
import type { AppError } from "../../../src/core/errors.ts";
import type {
  MuxOptions,
  MuxPools,
  Session,
  SessionHandler,
  Stream,
} from "../../../src/mux/index.ts";
import type { Counts } from "../../support/mux/counts.ts";
import { Direction, PipeTransport } from "../../support/mux/pipe.ts";
import type { Prng } from "../../support/mux/prng.ts";
import type { Profile } from "./profile.ts";
import { patternAt, SimStream, WRITE_MAX } from "./sim-stream.ts";
import { type SenderFacts, WireRules } from "./wire-rules.ts";

export type MuxModule = typeof import("../../../src/mux/index.ts");

/** What the sides of one schedule share. */
export interface Shared {
  readonly mux: MuxModule;
  readonly prng: Prng;
  readonly clock: ManualClock;
  readonly counts: Counts;
  readonly profile: Profile;
  readonly pools: MuxPools;
  /** Numbers the streams of the schedule. */
  nextSerial(): number;
  /** Notes what must not be, and throws; a session would swallow an exception from a handler. */
  fail(what: string): never;
  /** True once the clock has jumped, so that timers may have fired. */
  readonly jumped: boolean;
}

/** One end of the schedule: its session, its transport, its application, and the rules that hold it. */
export class Side implements SessionHandler, SenderFacts {
  readonly name: string;
  readonly shared: Shared;
  readonly options: MuxOptions;
  readonly out: Direction;
  readonly transport: PipeTransport;
  readonly rules: WireRules;
  readonly session: Session;
  readonly ownRemainder: number;
  readonly streams: SimStream[] = [];
  readonly #byId = new Map<number, SimStream>();
  #peer: Side | null = null;
  dirty = false;
  /** transportDrained() was called since the last flush: it sends at once, and a new dirty period may begin. */
  drained = false;
  due = 0;
  closeError: AppError | null = null;
  /** drain(), drainSilently() or close() was called by the application. */
  leaving = false;
  closedByUs = false;
  goAwayHeard = false;
  readonly #goAwayAllowed = new Set<number>();
  /** True in the second half: the application finishes everything. */
  finishing = false;

  constructor(
    name: string,
    role: "client" | "server",
    options: Partial<MuxOptions>,
    shared: Shared,
  ) {
    const { mux } = shared;
    this.name = name;
    this.shared = shared;
    this.options = mux.muxOptions(options);
    this.ownRemainder = role === "client" ? 1 : 0;
    this.rules = new WireRules(name, this, shared);
    this.out = new Direction(this.rules);
    this.transport = new PipeTransport(this.out, shared.profile.kernelBytes);
    this.session = new mux.Session(
      role,
      this.options,
      this.transport,
      this,
      shared.clock,
      shared.pools,
    );
    this.due = this.session.tick();
  }

  meet(peer: Side): void {
    this.#peer = peer;
    this.rules.peer = peer.rules;
  }

  get sessionOver(): boolean {
    return this.closeError !== null;
  }

  // What the rules of the wire ask.

  get initialWindowBytes(): number {
    return this.options.initialWindowBytes;
  }

  get finHoldMs(): number {
    return this.options.finHoldMs;
  }

  get keepAliveTimeoutMs(): number {
    return this.options.keepAliveTimeoutMs;
  }

  get maxWindowBytes(): number {
    return this.options.maxWindowBytes;
  }

  now(): number {
    return this.shared.clock.now();
  }

  writtenBytes(id: number): number {
    return this.find(id)?.written ?? 0;
  }

  endedAt(id: number): number {
    return this.find(id)?.endedAt ?? -1;
  }

  consumedBytes(id: number): number {
    return this.find(id)?.consumed ?? 0;
  }

  mayReset(id: number): boolean {
    const one = this.find(id);
    if (one === undefined) return id % 2 !== this.ownRemainder;
    return one.resetByUs || this.shared.jumped;
  }

  mayGoAway(code: number): boolean {
    return this.#goAwayAllowed.has(code) || (code === 1 && this.shared.jumped);
  }

  /** The end of this stream at this side. */
  find(id: number): SimStream | undefined {
    const found = this.#byId.get(id);
    if (found !== undefined) return found;
    for (const one of this.streams) {
      if (one.stream !== null && one.stream.id !== 0) this.#byId.set(one.stream.id, one);
    }
    return this.#byId.get(id);
  }

  // What the session tells.

  sessionOnDirty(_session: Session): void {
    if (this.dirty && !this.drained) this.#fail("told dirty twice before a flush");
    this.dirty = true;
  }

  sessionOnStream(_session: Session, stream: Stream): void {
    const { prng, profile } = this.shared;
    if (this.leaving) this.#fail("a stream was announced after the GoAway");
    const opener = this.#peer?.find(stream.id);
    if (opener === undefined) throw this.#fail("a stream that nobody opened");
    if (opener.peer !== null) this.#fail(`stream ${stream.id} announced twice`);
    const one = new SimStream(this, false, opener.serial, this.#drawBytes());
    one.stream = stream;
    one.peer = opener;
    opener.peer = one;
    this.streams.push(one);
    if (prng.oneIn(profile.lateAccept)) this.shared.counts.add("late accept");
    else this.accept(one);
  }

  sessionOnGoAway(_session: Session, code: number): void {
    if (code !== 0) this.#fail(`told of GoAway(${code})`);
    this.goAwayHeard = true;
    if (this.session.streamCount > 0) this.shared.counts.add("GoAway with streams open");
  }

  sessionOnClose(_session: Session, error: AppError): void {
    if (this.sessionOver) this.#fail("the session ended twice");
    for (const one of this.streams) {
      if (!one.over) this.#fail(`stream ${one.stream?.id} was not told of the end`);
    }
    this.closeError = error;
  }

  // The application.

  /** Opens a stream, and perhaps writes at once. */
  open(): void {
    const { prng, counts } = this.shared;
    const one = new SimStream(this, true, this.shared.nextSerial(), this.#drawBytes());
    const could = this.session.canOpen;
    try {
      one.stream = this.session.open(one);
    } catch (error) {
      if (could) this.#fail(`open threw ${(error as AppError).code} though canOpen is true`);
      counts.add("open refused locally");
      return;
    }
    if (!could) this.#fail("open succeeded though canOpen is false");
    this.streams.push(one);
    if (one.live.id === 0) counts.add("open waits for a slot");
    if (prng.oneIn(2)) this.write(one);
    if (prng.oneIn(4)) this.end(one);
  }

  accept(one: SimStream): void {
    if (one.accepted || one.over) return;
    one.accepted = true;
    one.live.accept(one);
  }

  /** Writes the next piece of what the stream has to send. */
  write(one: SimStream): void {
    const { prng } = this.shared;
    if (one.over || !one.accepted || one.endedAt >= 0 || one.written >= one.planned) return;
    if (one.blocked && (this.finishing || !prng.oneIn(10))) return;
    const size = Math.min(
      one.planned - one.written,
      prng.pick([prng.between(1, 30), 1_000, 16_384, 100_000, WRITE_MAX]),
    );
    const bytes = patternAt(one.outSalt, one.written, size);
    one.written += size;
    const more = prng.oneIn(8) ? this.#writeText(one, bytes) : this.#writeBytes(one, bytes);
    if (!more && !one.over) one.blocked = true;
  }

  #writeText(one: SimStream, bytes: Uint8Array): boolean {
    return one.live.writeLatin1(Buffer.from(bytes).toString("latin1"));
  }

  /** Lends the bytes for the time of the call only. */
  #writeBytes(one: SimStream, bytes: Uint8Array): boolean {
    const lent = bytes.length < 5_000 ? bytes.slice() : bytes;
    const more = one.live.write(lent);
    if (lent !== bytes) lent.fill(0xdd);
    return more;
  }

  end(one: SimStream): void {
    if (one.over || !one.accepted || one.endedAt >= 0) return;
    if (one.written < one.planned && (this.shared.profile.calm || this.finishing)) return;
    one.planned = one.written;
    one.endedAt = this.now();
    one.live.end();
    if (this.shared.prng.oneIn(8)) one.live.end();
  }

  reset(one: SimStream): void {
    if (one.over) return;
    one.resetByUs = true;
    one.live.reset();
    if (this.shared.prng.oneIn(4)) one.live.reset();
  }

  /** Consumes some of what was received; all of it when `all`. */
  consume(one: SimStream, all: boolean): void {
    const waiting = one.received - one.consumed;
    if (waiting === 0 || one.over) return;
    const size = all ? waiting : this.shared.prng.between(1, waiting);
    one.consumed += size;
    one.live.consume(size);
  }

  appOnData(one: SimStream): void {
    const { prng, profile } = this.shared;
    if (prng.oneIn(profile.lateConsume)) this.shared.counts.add("consumed late");
    else this.consume(one, true);
    this.appOnEvent(one);
  }

  /** An application that acts from inside a callback, now and then. */
  appOnEvent(one: SimStream): void {
    const { prng } = this.shared;
    if (this.finishing || !prng.oneIn(6)) return;
    if (prng.oneIn(2)) this.act(one);
    else this.act(this.anyStream() ?? one);
  }

  anyStream(): SimStream | undefined {
    return this.streams[this.shared.prng.below(this.streams.length)];
  }

  /** One random deed on a stream. */
  act(one: SimStream): void {
    const { prng, profile } = this.shared;
    const deed = prng.below(10);
    if (deed < 4) this.write(one);
    else if (deed === 4) this.end(one);
    else if (deed < 7) this.consume(one, prng.oneIn(2));
    else if (deed === 7) this.accept(one);
    else if (deed === 8 && !profile.calm) this.#maybeReset(one);
    else if (deed === 9 && one.over) this.#abuseDead(one);
  }

  #maybeReset(one: SimStream): void {
    const { prng } = this.shared;
    const finInFlight = (one.peer?.endedAt ?? -1) >= 0 && !one.remoteEnded;
    if (prng.oneIn(finInFlight ? 2 : 4)) this.reset(one);
  }

  /** Everything that may be called on a stream that is gone, without effect. */
  #abuseDead(one: SimStream): void {
    this.shared.counts.add("deed on a dead stream");
    one.live.end();
    one.live.reset();
    one.live.consume(one.received - one.consumed);
    this.#mustNotWrite(one);
  }

  drain(): void {
    const { prng } = this.shared;
    this.leaving = true;
    const silent = prng.oneIn(4);
    if (silent) this.session.drainSilently(4409, "displaced", 30_000);
    else {
      this.#goAwayAllowed.add(0);
      this.session.drain(1001, "draining");
    }
  }

  close(): void {
    const code = this.shared.prng.pick([0, 0, null]);
    this.leaving = true;
    this.closedByUs = true;
    if (code !== null) this.#goAwayAllowed.add(code);
    this.session.close(1000, "done", code);
    if (this.shared.prng.oneIn(3)) this.session.close(1011, "again", 2);
  }

  flush(): void {
    this.drained = false;
    if (this.dirty) {
      this.dirty = false;
      this.session.flush();
    } else if (this.shared.prng.oneIn(10)) {
      this.session.flush();
    }
    this.rules.flushed();
    this.#countStalls();
  }

  /** Checks that the error with which a stream ended has a reason in this schedule. */
  checkStreamError(one: SimStream, error: AppError): void {
    const { jumped } = this.shared;
    const told = error as { code: string; initiator?: string; retriable?: boolean };
    const sessionEnding = !this.session.isOpen || this.transport.gone || this.transport.terminated;
    if (sessionEnding || jumped) return;
    if (one.live.id === 0 && (this.goAwayHeard || this.leaving)) return;
    const peerReset = one.peer?.resetByUs === true;
    if (peerReset) return;
    const refused = one.opener && one.peer === null;
    if (refused) {
      this.shared.counts.add("refused");
      if (told.initiator === "remote" && told.retriable === true) return;
    }
    this.#fail(`stream ${one.live.id} failed without reason: ${told.code}`);
  }

  /** Checks the figures that a session gives of itself against the model. */
  check(): void {
    if (this.sessionOver) return;
    let live = 0;
    for (const one of this.streams) {
      if (one.over) continue;
      live++;
      const { unconsumed } = one.live;
      if (one.accepted && unconsumed !== one.received - one.consumed) {
        this.#fail(`unconsumed is ${unconsumed}, not ${one.received - one.consumed}`);
      }
      if (unconsumed > this.options.maxWindowBytes) {
        this.#fail(`${unconsumed} bytes are held, above the window`);
      }
    }
    if (this.session.streamCount !== live) {
      this.#fail(`${this.session.streamCount} streams, not ${live}`);
    }
  }

  /** Checks that no stream stands still without a reason. Nothing is in flight, both ends have flushed. */
  checkAtRest(): void {
    for (const one of this.streams) {
      if (one.over || one.live.id === 0) continue;
      const { id, queuedBytes } = one.live;
      const window = this.rules.windowBytes(id);
      if (queuedBytes > 0 && window >= Math.min(queuedBytes, 1_024)) {
        this.#fail(
          `stream ${id} has ${queuedBytes} bytes and ${window} of credit, and sends nothing`,
        );
      }
      const writes = one.blocked && one.endedAt < 0;
      if (queuedBytes === 0 && writes) this.#fail(`the writer of stream ${id} was not told`);
      this.#checkGranted(one);
    }
  }

  /** All that came was consumed: the peer must have more than half of the first window. */
  #checkGranted(one: SimStream): void {
    if (!one.accepted || one.remoteEnded || one.received !== one.consumed) return;
    if (one.peer === null || one.peer.over || this.#peer === null) return;
    const window = this.#peer.rules.windowBytes(one.live.id);
    if (window * 2 > this.initialWindowBytes) return;
    this.#fail(`stream ${one.live.id} has consumed all and leaves its peer ${window} bytes`);
  }

  #fail(what: string): never {
    return this.shared.fail(`${this.name}: ${what}`);
  }

  #mustNotWrite(one: SimStream): void {
    try {
      one.live.write(patternAt(0, 0, 3));
    } catch (error) {
      if ((error as AppError).code === "ERR_MUX_STREAM_CLOSED") return;
      throw error;
    }
    this.#fail("write on a dead stream did not throw");
  }

  #countStalls(): void {
    for (const one of this.streams) {
      if (one.over || one.stallCounted || one.live.id === 0) continue;
      const queued = one.live.queuedBytes;
      if (queued === 0 || this.rules.windowBytes(one.live.id) >= Math.min(queued, 1_024)) continue;
      one.stallCounted = true;
      this.shared.counts.add("window stall");
    }
  }

  #drawBytes(): number {
    const { prng, profile } = this.shared;
    if (profile.heavy && prng.oneIn(2)) {
      return prng.pick([262_144, 262_145, prng.between(262_144, 900_000)]);
    }
    return prng.pick([0, prng.between(1, 100), prng.between(1, 5_000), prng.between(1, 60_000)]);
  }
}
