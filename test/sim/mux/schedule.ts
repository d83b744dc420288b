import { ManualClock } from "../../../src/core/clock.ts";
import type { MuxPools } from "../../../src/mux/index.ts";
import type { Counts } from "../../support/mux/counts.ts";
import { Prng } from "../../support/mux/prng.ts";
import { drawProfile, type Profile } from "./profile.ts";
import { type MuxModule, type Shared, Side } from "./side.ts";

/** Rounds that a calm schedule may need to bring all its streams to their end. */
const ROUNDS_MAX = 3_000;

/** Two sessions joined by the pipe, and the hand that moves everything by the seed's schedule. */
class World implements Shared {
  readonly mux: MuxModule;
  readonly prng: Prng;
  readonly clock = new ManualClock(1_000);
  readonly counts: Counts;
  readonly profile: Profile;
  readonly pools: MuxPools;
  readonly a: Side;
  readonly b: Side;
  jumped = false;
  #serial = 0;
  #failure: Error | null = null;

  constructor(mux: MuxModule, seed: number, counts: Counts) {
    this.mux = mux;
    this.prng = new Prng(seed);
    this.counts = counts;
    this.profile = drawProfile(this.prng);
    this.pools = new mux.MuxPools();
    this.a = new Side("A", "client", this.profile.optionsA, this);
    this.b = new Side("B", "server", this.profile.optionsB, this);
    this.a.meet(this.b);
    this.b.meet(this.a);
  }

  nextSerial(): number {
    return ++this.#serial;
  }

  /** What a callback found first. */
  get failure(): Error | null {
    return this.#failure;
  }

  fail(what: string): never {
    const failure = new Error(what);
    this.#failure ??= failure;
    throw failure;
  }

  /** Throws what a callback found, also when the session has swallowed it. */
  checkFailure(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  get over(): boolean {
    return this.a.sessionOver && this.b.sessionOver;
  }

  run(): void {
    const { ending, steps } = this.profile;
    const early = ending === "drain" || ending === "close" || ending === "drop";
    const endAt = early ? this.prng.below(steps) : steps;
    for (let step = 0; step < steps && !this.over; step++) {
      if (step === endAt) this.#begin(ending);
      this.#step();
      this.checkFailure();
    }
    if (ending === "cut") this.#cut();
    if (ending === "silence") this.#silence();
    if (!this.over) this.#finish();
    this.#afterwards();
  }

  #either(): Side {
    return this.prng.oneIn(2) ? this.a : this.b;
  }

  #other(side: Side): Side {
    return side === this.a ? this.b : this.a;
  }

  #begin(ending: Profile["ending"]): void {
    const side = this.#either();
    if (side.sessionOver) return;
    if (ending === "drain") side.drain();
    if (ending === "close") side.close();
    if (ending === "drop") side.transport.dropsNext = true;
  }

  #step(): void {
    const { prng, profile } = this;
    const side = this.#either();
    switch (prng.below(8)) {
      case 0:
        if (side.streams.length < profile.streamsMax * 2 && !side.sessionOver) side.open();
        break;
      case 1:
      case 2:
      case 3: {
        const one = side.anyStream();
        if (one !== undefined) side.act(one);
        break;
      }
      case 4:
        this.#time(prng.between(0, profile.stepMsMax));
        if (!profile.calm && prng.oneIn(60)) this.#idle();
        break;
      default:
        for (let piece = prng.between(1, 4); piece > 0; piece--) this.#deliver(side);
    }
    if (prng.oneIn(3)) return;
    this.#endTurn(side);
    if (prng.oneIn(2)) this.#endTurn(this.#other(side));
    if (prng.oneIn(16)) this.#check();
  }

  #check(): void {
    this.a.check();
    this.b.check();
  }

  /** The end of a loop turn: flush, and what the transport was asked. */
  #endTurn(side: Side): void {
    if (side.sessionOver && side.transport.gone) return;
    side.flush();
    this.#serveTransport(side);
  }

  #serveTransport(side: Side): void {
    const { transport } = side;
    if (transport.gone) return;
    if (transport.terminated) this.#transportEnds(1006);
    if (transport.gone || transport.closeAsked === null) return;
    const { code } = transport.closeAsked;
    if (code === 1002 || code === 1003 || code === 1011) throw this.#unexpectedClose(side, code);
    if (code === 1008 && !this.jumped) throw this.#unexpectedClose(side, code);
    while (side.out.waitingBytes > 0) this.#deliver(side);
    this.#transportEnds(code);
  }

  #unexpectedClose(side: Side, code: number): Error {
    const reason = side.transport.closeAsked?.reason ?? "";
    return new Error(`${side.name} closed with ${code} "${reason}" (${side.closeError?.code})`);
  }

  /** Delivers one piece from `side` to its peer. */
  #deliver(side: Side, most = 0): void {
    const receiver = this.#other(side);
    if (receiver.transport.gone || receiver.transport.terminated) return;
    const { prng, counts } = this;
    if (prng.oneIn(100) && most === 0) receiver.session.receive(new Uint8Array(0));
    if (side.out.waitingBytes === 0) return;
    const size = most > 0 ? most : this.#pieceOf(side);
    const before = side.out.deliveredBytes;
    const wasBlocked = side.transport.bufferedAmount();
    const bytes = side.out.take(size);
    const where = side.out.whereDelivered();
    if (where !== "between") counts.add(`split in ${where}`);
    const arrived = side.out.inFlight.filter((one) => one.end <= side.out.deliveredBytes);
    if (arrived.length > 1) counts.add("frames coalesced");
    for (const one of side.out.inFlight) {
      if (one.start + 12 > before && one.start + 12 <= side.out.deliveredBytes) {
        receiver.rules.frameArrives(one);
      }
    }
    this.#receive(receiver, bytes);
    for (const one of arrived) receiver.rules.frameArrived(one);
    side.out.markDelivered();
    if (wasBlocked > 0 && !side.transport.gone) this.#drained(side, wasBlocked);
  }

  #drained(side: Side, before: number): void {
    const now = side.transport.bufferedAmount();
    if (now === before || side.sessionOver) return;
    if (now > 0 && this.prng.oneIn(2)) return;
    this.counts.add("transport drained");
    side.drained = true;
    side.session.transportDrained();
  }

  #pieceOf(side: Side): number {
    const { prng, profile } = this;
    const next = side.out.inFlight[0];
    if (prng.oneIn(6) && next !== undefined) {
      const ahead = next.start - side.out.deliveredBytes;
      return Math.max(1, ahead + prng.between(1, 13));
    }
    return prng.oneIn(4) ? side.out.waitingBytes : prng.between(1, profile.pieceMax);
  }

  /** Feeds bytes as a slice of a larger buffer, which is spoilt or detached afterwards. */
  #receive(receiver: Side, bytes: Uint8Array): void {
    const lead = this.prng.below(20);
    const around = new Uint8Array(lead + bytes.length + 8).fill(0xab, 0, lead);
    around.set(bytes, lead);
    receiver.session.receive(around.subarray(lead, lead + bytes.length));
    if (this.prng.oneIn(8)) structuredClone(around.buffer, { transfer: [around.buffer] });
    else around.fill(0xee);
  }

  #time(ms: number): void {
    this.clock.advance(ms);
    for (const side of [this.a, this.b]) {
      if (this.clock.now() < side.due && !this.prng.oneIn(5)) continue;
      side.due = side.session.tick();
    }
  }

  /** Time in which nobody does anything but the pipe and the clock: timers may fire. */
  #idle(): void {
    this.jumped = true;
    this.counts.add("idle time");
    for (let left = this.prng.pick([1_500, 12_000, 35_000, 70_000]); left > 0; left -= 500) {
      this.#deliverAll();
      this.#time(500);
      if (this.over) return;
    }
  }

  #deliverAll(): void {
    for (let turn = 0; turn < 100; turn++) {
      this.#endTurn(this.a);
      this.#endTurn(this.b);
      if (this.a.out.waitingBytes + this.b.out.waitingBytes === 0) return;
      if (this.over) return;
      this.#deliver(this.a, this.#bigPiece(this.a));
      this.#deliver(this.b, this.#bigPiece(this.b));
    }
  }

  #bigPiece(side: Side): number {
    const { prng } = this;
    return prng.oneIn(3) ? side.out.waitingBytes + 1 : prng.between(1, 200_000);
  }

  /** The connection breaks at some byte of each direction. */
  #cut(): void {
    this.#keepBusy();
    for (const side of [this.a, this.b]) {
      if (side.transport.gone || this.#other(side).transport.gone) continue;
      const { waitingBytes, inFlight } = side.out;
      let upTo = this.prng.between(0, waitingBytes);
      const aim = inFlight[this.prng.below(inFlight.length)];
      if (aim !== undefined && this.prng.oneIn(2)) {
        const within = this.prng.oneIn(2) ? 11 : aim.end - aim.start - 1;
        upTo = aim.start - side.out.deliveredBytes + this.prng.between(1, Math.max(11, within));
      }
      if (upTo > 0) this.#deliver(side, upTo);
      this.counts.add(`cut in ${side.out.whereDelivered()}`);
      this.counts.add(`cut in ${side.out.whereDelivered()} ${side.name}`);
    }
    this.#transportEnds(1006);
  }

  /** Puts something in flight in each direction, if the schedule has anything to send. */
  #keepBusy(): void {
    for (const side of [this.a, this.b]) {
      if (side.sessionOver) continue;
      for (let deed = 0; deed < 6; deed++) {
        const one = side.anyStream();
        if (one !== undefined) side.write(one);
      }
      if (side.out.waitingBytes < 1_000) side.open();
      this.#endTurn(side);
    }
  }

  /** Nothing is delivered any more: the keepalive must end both sessions. */
  #silence(): void {
    this.jumped = true;
    for (let second = 0; second < 120 && !this.over; second++) {
      this.#time(1_000);
      for (const side of [this.a, this.b]) {
        if (side.transport.gone) continue;
        side.flush();
        const code = side.transport.closeAsked?.code ?? 1006;
        if (side.transport.terminated) this.counts.add("keepalive death");
        else if (code === 1008) this.counts.add("slow reader closed");
        if (side.transport.terminated || side.transport.closeAsked !== null) {
          side.transport.gone = true;
          side.session.transportClosed(code);
        }
      }
    }
    if (!this.over) throw new Error("a silent peer was not noticed");
  }

  #transportEnds(code: number): void {
    const sides = this.prng.oneIn(2) ? [this.a, this.b] : [this.b, this.a];
    for (const side of sides) {
      if (side.transport.gone) continue;
      side.transport.gone = true;
      side.session.transportClosed(code);
      if (!side.sessionOver) throw new Error(`${side.name} is open without a transport`);
    }
  }

  /** Lets the applications finish everything. */
  #finish(): void {
    for (const side of [this.a, this.b]) side.finishing = true;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      if (this.over || this.#allDone()) {
        this.#check();
        return;
      }
      for (const side of [this.a, this.b]) this.#finishStreams(side);
      this.#deliverAll();
      this.#checkAtRest();
      this.#time(this.prng.between(1, 4));
      if (round % 50 === 0) this.#check();
      if (round > 200) this.#hurry();
    }
    throw new Error(`no progress: ${this.#state()}`);
  }

  /** With nothing in flight and nothing unflushed, whatever could leave has left, and whatever was due was granted. */
  #checkAtRest(): void {
    const flying = this.a.out.waitingBytes + this.b.out.waitingBytes;
    if (flying > 0 || this.a.sessionOver || this.b.sessionOver) return;
    this.a.checkAtRest();
    this.b.checkAtRest();
  }

  /** Nothing but timers can help now: a wild schedule with half-closed or cut streams waits for them. */
  #hurry(): void {
    this.jumped ||= !this.profile.calm;
    this.#time(this.profile.calm ? 10 : 500);
  }

  #finishStreams(side: Side): void {
    if (side.sessionOver) return;
    for (const one of side.streams) {
      if (one.over || side.sessionOver) continue;
      side.accept(one);
      side.consume(one, true);
      side.write(one);
      side.end(one);
    }
  }

  #allDone(): boolean {
    const done = (side: Side) => side.sessionOver || side.streams.every((one) => one.over);
    const leaving = this.a.leaving || this.b.leaving;
    return !leaving && done(this.a) && done(this.b);
  }

  #state(): string {
    return [this.a, this.b]
      .map((side) => {
        const streams = side.streams
          .filter((one) => !one.over)
          .map((one) => {
            const { id, queuedBytes, isWritable } = one.live;
            const window = side.rules.windowBytes(id);
            return `#${id} ${one.written}/${one.planned} ended ${one.endedAt} in ${one.received}/${one.consumed} queued ${queuedBytes} window ${window} writable ${isWritable} blocked ${one.blocked}`;
          });
        return `${side.name} (${side.out.waitingBytes} in flight): ${streams.join("; ")}`;
      })
      .join(" | ");
  }

  /** What must hold when all is over. */
  #afterwards(): void {
    const { profile } = this;
    if (!this.over) {
      for (const side of [this.a, this.b]) {
        if (!side.sessionOver && side.session.streamCount !== 0) {
          throw new Error(`${side.name} keeps ${side.session.streamCount} streams`);
        }
      }
      this.#transportEnds(1006);
    }
    for (const side of [this.a, this.b]) {
      if (side.session.streamCount !== 0) throw new Error(`${side.name} keeps streams at the end`);
      side.session.receive(new Uint8Array([0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]));
      side.session.flush();
      side.session.tick();
      if (side.options.hardWsMessageOut) this.#checkMessages(side);
      for (const one of side.streams) this.#afterStream(side, one, profile.calm);
    }
    const { recvHeldBytes, windowGrownBytes, batchesOut } = this.pools;
    if (recvHeldBytes + windowGrownBytes + batchesOut !== 0) {
      throw new Error(
        `the pools lack held ${recvHeldBytes}, growth ${windowGrownBytes}, batches ${batchesOut}`,
      );
    }
  }

  #checkMessages(side: Side): void {
    const { largestMessageBytes } = side.transport;
    if (largestMessageBytes <= side.options.maxWsMessageOutBytes) return;
    throw new Error(`${side.name} sent a message of ${largestMessageBytes} bytes`);
  }

  #afterStream(side: Side, one: Side["streams"][number], calm: boolean): void {
    if (one.closes !== (one.resetByUs || !one.accepted ? 0 : 1)) {
      throw new Error(`${side.name}: stream ${one.live.id} was told its end ${one.closes} times`);
    }
    if (one.live.queuedBytes !== 0) {
      throw new Error(`${side.name}: stream ${one.live.id} keeps ${one.live.queuedBytes} bytes`);
    }
    if (!calm || one.error === null) return;
    const refused = one.opener && one.peer === null;
    if (!refused) throw new Error(`${side.name}: stream ${one.live.id} failed: ${one.error.code}`);
  }
}

/**
 * Runs the schedule of one seed against a multiplexer.
 *
 * @throws Error at the first thing that must not be; its message begins with the seed
 */
export function runSchedule(mux: MuxModule, seed: number, counts: Counts): void {
  const world = new World(mux, seed, counts);
  try {
    world.run();
    world.checkFailure();
  } catch (error) {
    const { calm, ending } = world.profile;
    const cause = world.failure ?? error;
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `seed ${seed} (${calm ? "calm" : "wild"}, ending ${ending}): ${message}; replay with HAWSER_SEED=${seed}`,
      { cause },
    );
  }
}
