import type { Counts } from "../../support/mux/counts.ts";
import { DEFAULT_WINDOW, FLAG, TYPE } from "../../support/mux/frames.ts";
import { type FrameObserver, kindOf, type SentFrame } from "../../support/mux/pipe.ts";

/** What the observer of one sender asks of the world around it. */
export interface SenderFacts {
  /** Odd or even: remainder of the ids that this end opens. */
  readonly ownRemainder: number;
  readonly initialWindowBytes: number;
  readonly finHoldMs: number;
  readonly keepAliveTimeoutMs: number;
  now(): number;
  /** Bytes that the application of this end wrote to the stream so far. */
  writtenBytes(id: number): number;
  /** Clock time of the application's end(), -1 when it was not called. */
  endedAt(id: number): number;
  /** Bytes of the stream that the application of this end has consumed. */
  consumedBytes(id: number): number;
  /** Largest window that this end may grant to the stream, bytes. */
  readonly maxWindowBytes: number;
  /** True when this end may reset the stream: its application did, it never announced it, or a timer may have fired. */
  mayReset(id: number): boolean;
  /** True when this end may say GoAway now. */
  mayGoAway(code: number): boolean;
}

/** What one end has said and heard about one stream. */
class StreamFacts {
  synSent = false;
  ackSent = false;
  finSent = false;
  rstSent = false;
  dataSent = 0;
  /** Credit beyond the default window that was delivered to this end. */
  creditHeard = 0;
  /** Credit beyond the default window that this end has sent. */
  creditSent = 0;
  synHeard = false;
  anythingHeard = false;
  finHeard = false;
  /** It was heard before the last flush. */
  finKnown = false;
  rstHeard = false;
  /** True from the first flush after the peer's RST: nothing more may come. */
  over = false;
}

/**
 * Holds one end to the rules of the wire, frame by frame, knowing only what it sent and what was delivered to it.
 * Throws at the first frame that breaks a rule.
 */
export class WireRules implements FrameObserver {
  readonly #name: string;
  readonly #facts: SenderFacts;
  readonly #counts: Counts;
  readonly #world: { fail(what: string): never };
  readonly #streams = new Map<number, StreamFacts>();
  /** Streams whose FIN or RST was heard and that were not flushed since. */
  readonly #newlyHeard: StreamFacts[] = [];
  #lastOwnId: number;
  #goAwaySent = false;
  #goAwayHeard = false;
  /** It was heard before the last flush: an open since then would be wrong. */
  #goAwayKnown = false;
  #pingsHeard: number[] = [];
  #pingsOutstanding = 0;
  #lastPingAt = 0;
  peer: WireRules | null = null;

  constructor(
    name: string,
    facts: SenderFacts,
    world: { readonly counts: Counts; fail(what: string): never },
  ) {
    this.#name = name;
    this.#facts = facts;
    this.#world = world;
    this.#counts = world.counts;
    this.#lastOwnId = facts.ownRemainder === 1 ? -1 : 0;
  }

  /** Credit left to this end on the stream, bytes. */
  windowBytes(id: number): number {
    const one = this.#stream(id);
    return DEFAULT_WINDOW + one.creditHeard - one.dataSent;
  }

  finWasSent(id: number): boolean {
    return this.#stream(id).finSent;
  }

  /** This end has flushed: what it knew before now holds for all that follows. */
  flushed(): void {
    this.#goAwayKnown = this.#goAwayHeard;
    for (const one of this.#newlyHeard) {
      one.over = one.rstHeard;
      one.finKnown = one.finHeard;
    }
    this.#newlyHeard.length = 0;
  }

  frameSent(one: SentFrame): void {
    const kind = kindOf(one);
    this.#counts.add(`${kind} ${this.#name}`);
    this.#rule(!this.#goAwayFinal, one, "nothing follows a fatal GoAway");
    if (one.type === TYPE.PING) this.#pingSent(one);
    else if (one.type === TYPE.GO_AWAY) this.#goAwayWasSent(one);
    else this.#streamFrameSent(one);
  }

  #streamFrameSent(one: SentFrame): void {
    this.#rule(one.id !== 0, one, "stream frames have an id");
    const stream = this.#stream(one.id);
    this.#rule(!stream.over, one, "nothing follows the peer's RST");
    this.#rule(!stream.rstSent, one, "nothing follows our RST");
    this.#rule(!(stream.finSent && stream.finKnown), one, "nothing follows both FINs");
    const own = one.id % 2 === this.#facts.ownRemainder;
    if (own) this.#ownSent(one, stream);
    else this.#rule(stream.synHeard, one, "the peer has opened the stream");
    if (one.type === TYPE.DATA) this.#dataSent(one, stream, own);
    else this.#updateSent(one, stream, own);
  }

  /** What widens the rights of this end: before the bytes are fed. */
  frameArrives(one: SentFrame): void {
    if (one.type === TYPE.PING && one.flags & FLAG.SYN) this.#pingsHeard.push(one.length);
    if (one.type === TYPE.PING && !(one.flags & FLAG.SYN) && this.#pingsOutstanding > 0) {
      this.#pingsOutstanding--;
    }
    if (one.type !== TYPE.DATA && one.type !== TYPE.WINDOW_UPDATE) return;
    const stream = this.#stream(one.id);
    stream.anythingHeard = true;
    if (one.flags & FLAG.SYN) stream.synHeard = true;
    if (one.type === TYPE.WINDOW_UPDATE) stream.creditHeard += one.length;
  }

  /** What narrows them: after the bytes were fed. */
  frameArrived(one: SentFrame): void {
    if (one.type === TYPE.GO_AWAY) this.#goAwayHeard = true;
    if (one.type !== TYPE.DATA && one.type !== TYPE.WINDOW_UPDATE) return;
    const stream = this.#stream(one.id);
    this.#countCrossings(one, stream);
    if (one.flags & FLAG.FIN) stream.finHeard = true;
    if (one.flags & FLAG.RST) stream.rstHeard = true;
    if (one.flags & (FLAG.FIN | FLAG.RST)) this.#newlyHeard.push(stream);
  }

  frameDelivered(_one: SentFrame): void {
    // The world tells the peer's rules before and after it feeds the bytes.
  }

  get #goAwayFinal(): boolean {
    return this.#finalCode > 0;
  }
  #finalCode = 0;

  #countCrossings(one: SentFrame, stream: StreamFacts): void {
    if (one.flags & FLAG.FIN && stream.finSent && !this.#heardByPeer(one.id, "fin")) {
      this.#counts.add("FIN crosses FIN");
    }
    if (stream.rstSent && one.type === TYPE.DATA) this.#counts.add("RST crosses data");
    if (stream.rstSent && one.flags & FLAG.FIN) this.#counts.add("RST crosses FIN");
    if (stream.rstSent && one.flags & FLAG.RST) this.#counts.add("RST crosses RST");
  }

  #heardByPeer(id: number, what: "fin"): boolean {
    const known = this.peer?.streamFacts(id);
    return what === "fin" && known !== undefined && known.finHeard;
  }

  streamFacts(id: number): StreamFacts {
    return this.#stream(id);
  }

  #ownSent(one: SentFrame, stream: StreamFacts): void {
    if (stream.synSent) {
      this.#rule(!(one.flags & FLAG.SYN), one, "SYN is sent once");
      return;
    }
    this.#rule((one.flags & 0xf) === FLAG.SYN, one, "SYN comes first and alone");
    this.#rule(one.type === TYPE.WINDOW_UPDATE, one, "SYN rides on a window update");
    this.#rule(one.id === this.#lastOwnId + 2, one, "ids go up by two");
    this.#rule(!this.#goAwayKnown, one, "no SYN after the peer's GoAway");
    this.#rule(!this.#goAwaySent, one, "no SYN after our GoAway");
    this.#lastOwnId = one.id;
    stream.synSent = true;
  }

  #dataSent(one: SentFrame, stream: StreamFacts, own: boolean): void {
    this.#rule(one.flags === 0, one, "Data carries no flag");
    this.#rule(one.length > 0, one, "Data is not empty");
    this.#rule(!stream.finSent, one, "no Data after FIN");
    this.#rule(own || stream.ackSent, one, "ACK comes before Data");
    stream.dataSent += one.length;
    this.#rule(
      stream.dataSent <= DEFAULT_WINDOW + stream.creditHeard,
      one,
      `within the window (${stream.dataSent} > ${DEFAULT_WINDOW} + ${stream.creditHeard})`,
    );
    this.#rule(
      stream.dataSent <= this.#facts.writtenBytes(one.id),
      one,
      "no more than was written",
    );
  }

  #updateSent(one: SentFrame, stream: StreamFacts, own: boolean): void {
    const extra = this.#facts.initialWindowBytes - DEFAULT_WINDOW;
    if (one.flags & FLAG.RST) {
      this.#rstSent(one, stream);
      return;
    }
    if (one.flags & FLAG.FIN) this.#finSent(one, stream, own);
    if (one.flags & FLAG.SYN) this.#rule(own && one.length === extra, one, "SYN grants the window");
    if (one.flags & FLAG.ACK) {
      this.#rule(!own, one, "the acceptor sends ACK");
      this.#rule(!stream.ackSent, one, "ACK is sent once");
      this.#rule(one.length === extra, one, "ACK grants the window");
      stream.ackSent = true;
    }
    if ((one.flags & 0xf) === 0) {
      this.#rule(one.length > 0, one, "credit is not empty");
      this.#rule(!stream.finHeard, one, "no credit after the peer's FIN");
      this.#rule(own || stream.ackSent, one, "ACK comes before credit");
    }
    stream.creditSent += one.length;
    const open = DEFAULT_WINDOW + stream.creditSent - this.#facts.consumedBytes(one.id);
    this.#rule(
      open <= this.#facts.maxWindowBytes,
      one,
      `credit for what was consumed alone (${open} > ${this.#facts.maxWindowBytes})`,
    );
  }

  #finSent(one: SentFrame, stream: StreamFacts, own: boolean): void {
    const endedAt = this.#facts.endedAt(one.id);
    this.#rule(!stream.finSent, one, "FIN is sent once");
    this.#rule(endedAt >= 0, one, "FIN after the application's end");
    this.#rule(
      stream.dataSent === this.#facts.writtenBytes(one.id),
      one,
      `FIN after all data (${stream.dataSent} of ${this.#facts.writtenBytes(one.id)} bytes)`,
    );
    this.#rule(own || stream.ackSent, one, "ACK comes before FIN");
    if (own && !stream.anythingHeard) {
      if (this.#facts.finHoldMs > 0) this.#counts.add("FIN held for its time");
      const held = this.#facts.now() - endedAt;
      this.#rule(held >= this.#facts.finHoldMs, one, `FIN is held (left after ${held} ms)`);
    }
    stream.finSent = true;
  }

  #rstSent(one: SentFrame, stream: StreamFacts): void {
    this.#rule(one.length === 0, one, "RST grants nothing");
    this.#rule(this.#facts.mayReset(one.id), one, "a reason for RST");
    stream.rstSent = true;
  }

  #pingSent(one: SentFrame): void {
    this.#rule(one.id === 0, one, "pings have id 0");
    if (one.flags & FLAG.SYN) {
      // A ping that is not answered in its time is given up.
      const sinceLast = this.#facts.now() - this.#lastPingAt;
      if (sinceLast >= this.#facts.keepAliveTimeoutMs) this.#pingsOutstanding = 0;
      this.#lastPingAt = this.#facts.now();
      this.#pingsOutstanding++;
      this.#rule(this.#pingsOutstanding <= 1, one, "one ping outstanding");
      return;
    }
    const heard = this.#pingsHeard.indexOf(one.length);
    this.#rule(heard >= 0, one, "a pong answers a ping");
    this.#pingsHeard.splice(heard, 1);
  }

  #goAwayWasSent(one: SentFrame): void {
    this.#rule(this.#facts.mayGoAway(one.length), one, "a reason for GoAway");
    this.#rule(!this.#goAwaySent || one.length > 0, one, "GoAway(0) is sent once");
    this.#goAwaySent = true;
    this.#finalCode = one.length;
  }

  #stream(id: number): StreamFacts {
    let found = this.#streams.get(id);
    if (found === undefined) {
      found = new StreamFacts();
      this.#streams.set(id, found);
    }
    return found;
  }

  #rule(holds: boolean, one: SentFrame, rule: string): void {
    if (holds) return;
    const frame = `${kindOf(one)} flags ${one.flags} id ${one.id} length ${one.length}`;
    this.#world.fail(`${this.#name} broke "${rule}" with ${frame}`);
  }
}
