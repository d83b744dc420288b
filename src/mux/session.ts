import type { Clock } from "../core/clock.ts";
import type { Ring } from "../core/ring.ts";
import { Budgets } from "./budgets.ts";
import { type Congestion, probeTransport } from "./congestion.ts";
import { CloseCode, FrameType, GoAwayCode, STREAM_ID_END } from "./constants.ts";
import { SessionCounters } from "./counters.ts";
import { Decoder, type FrameSink } from "./decoder.ts";
import { muxClosedError, muxProtocolError } from "./errors.ts";
import { flushSession } from "./flush.ts";
import { beginDrain, type Ending, onGoAway } from "./go-away.ts";
import { noOp } from "./guard.ts";
import type { Role, SessionHandler, StreamHandler } from "./handlers.ts";
import { onDataEnd, onDataHeader, onPayload, onWindowUpdate, sendAckFrame } from "./inbound.ts";
import { jittered, measureRoundTrip, onPing } from "./keepalive.ts";
import { endSession, failInternal, failSession, TRANSPORT_GONE } from "./lifecycle.ts";
import { openStream } from "./opening.ts";
import type { MuxOptions } from "./options.ts";
import type { MuxPools, PongRing } from "./pools.ts";
import { appendFrame } from "./sender.ts";
import type { Stream } from "./stream.ts";
import type { StreamTable } from "./stream-table.ts";
import { runTimers } from "./timers.ts";
import type { Transport } from "./transport.ts";

export const Phase = { OPEN: 0, ENDED: 1 } as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/**
 * One yamux session over one message transport: bytes in, callbacks and bytes out. Opens no socket,
 * owns no clock and no timer.
 *
 * The class is flat, and everything that an idle session does not need is made on first use: ten
 * thousand idle tunnels are ten thousand of these. Fields below the line belong to the
 * multiplexer's own files.
 *
 * @see yamux spec.md
 */
export class Session implements FrameSink {
  readonly role: Role;
  /** A field for the owner. */
  owner: unknown = null;
  /** Clock ms of the last received byte; of the construction before the first. */
  lastReceivedAt: number;
  /** Remote GoAway(0) received. */
  goneAway = false;
  /**
   * When tick() has to be called next, clock ms; Infinity for never. Any call may make it earlier, and receive() later where our
   * ping was answered and nothing else is due.
   */
  dueAt: number;

  // ---- internal ----
  readonly options: MuxOptions;
  readonly transport: Transport;
  readonly handler: SessionHandler;
  readonly clock: Clock;
  readonly pools: MuxPools;
  readonly decoder = new Decoder();
  phase: Phase = Phase.OPEN;
  started: boolean;
  dirty = false;
  flushing = false;
  receiving = false;
  /** Messages that arrived while one was being handled. */
  backlog: Uint8Array[] | null = null;
  batch: Buffer | null = null;
  batchUsed = 0;
  /** Why Data is held back, bits of `Blocked`. */
  blocked = 0;
  congestion: Congestion | null = null;
  /** The transport's buffer was looked at since the last message. */
  probed = false;
  streams: StreamTable | null = null;
  nextStreamId: number;
  /** Opens that wait for a place among the unacknowledged. */
  waiting: Ring<Stream> | null = null;
  waitingCount = 0;
  outboundCount = 0;
  inboundCount = 0;
  unackedCount = 0;
  unacceptedCount = 0;
  ringHead: Stream | null = null;
  ringTail: Stream | null = null;
  creditHead: Stream | null = null;
  writableHead: Stream | null = null;
  queuedBytes = 0;
  /** Received and not consumed, bytes. */
  recvHeld = 0;
  /** Window growth drawn by the streams, bytes. */
  windowGrown = 0;
  /** Takes the payload of the Data frame in progress; null throws it away. */
  inStream: Stream | null = null;
  inFin = false;
  lateAllowance = 0;
  lateFrames = 0;
  pongs: PongRing | null = null;
  pingOutstanding = false;
  pingValue = 0;
  pingSentAt = 0;
  pingWaitMs = 0;
  /** When the budget of the peer's pings is full again. */
  pingsFullAt = 0;
  rttCurrent = 0;
  rttPrevious = 0;
  rttBucketAt = 0;
  ending: Ending | null = null;
  budgets: Budgets | null = null;
  tally: SessionCounters | null;

  /**
   * @param role client opens odd stream ids, server even ones; fixed by configuration
   * @param options shared by all sessions of a kind
   * @param pools shared by all sessions of the process
   */
  constructor(
    role: Role,
    options: MuxOptions,
    transport: Transport,
    handler: SessionHandler,
    clock: Clock,
    pools: MuxPools,
  ) {
    this.role = role;
    this.options = options;
    this.transport = transport;
    this.handler = handler;
    this.clock = clock;
    this.pools = pools;
    this.tally = pools.tally;
    this.nextStreamId = role === "client" ? 1 : 2;
    this.lastReceivedAt = clock.now();
    this.pingWaitMs = jittered(this);
    this.started = !options.pingAtStart;
    this.dueAt = this.started ? this.lastReceivedAt + this.pingWaitMs : this.lastReceivedAt;
  }

  /** Not closed and not failed. */
  get isOpen(): boolean {
    return this.phase === Phase.OPEN;
  }

  /** open() would not throw for going away, closed or a limit. */
  get canOpen(): boolean {
    const { options } = this;
    return (
      this.phase === Phase.OPEN &&
      !this.goneAway &&
      this.ending === null &&
      this.outboundCount < options.maxOutboundStreams &&
      this.nextStreamId + 2 * this.waitingCount < STREAM_ID_END &&
      (this.waitingCount < options.maxWaitingOpens ||
        (this.waitingCount === 0 && this.unackedCount < options.maxUnackedOpens))
    );
  }

  /** Streams that live, those that wait to be opened among them. */
  get streamCount(): number {
    return this.streams === null ? this.waitingCount : this.streams.size + this.waitingCount;
  }

  /** Smallest round trip of about the last minute, ms; 0 is unknown. */
  get rttMs(): number {
    const { rttCurrent, rttPrevious } = this;
    if (rttCurrent === 0) return rttPrevious;
    return rttPrevious !== 0 && rttPrevious < rttCurrent ? rttPrevious : rttCurrent;
  }

  /**
   * What the session has seen and done since its first stream: an idle one keeps no counts. Those of all sessions
   * together, where the pools have them.
   */
  get counters(): SessionCounters {
    this.tally ??= new SessionCounters();
    return this.tally;
  }

  /**
   * Feeds one binary message, borrowed: it may be detached after the return. Never throws. An empty
   * message is counted and does nothing. A call from inside a handler is put off until the
   * message in progress is done.
   */
  receive(chunk: Uint8Array): void {
    if (this.phase === Phase.ENDED) return;
    if (this.receiving) {
      this.backlog ??= [];
      this.backlog.push(chunk.slice());
      return;
    }
    this.receiving = true;
    try {
      this.feed(chunk);
      for (let i = 0; this.backlog !== null && i < this.backlog.length; i += 1) {
        const next = this.backlog[i];
        if (next !== undefined && this.phase === Phase.OPEN) this.feed(next);
      }
    } catch (cause) {
      failInternal(this, cause);
    }
    this.backlog = null;
    this.receiving = false;
  }

  /** A text message arrived: closes 1003, nothing is decoded. */
  receiveText(): void {
    if (this.phase === Phase.ENDED) return;
    const error = muxProtocolError("ERR_MUX_TEXT_MESSAGE", CloseCode.UNSUPPORTED_DATA);
    endSession(this, error, null, CloseCode.UNSUPPORTED_DATA, error.message);
  }

  /** Sends everything gathered this turn as few messages as possible. Safe to call when clean. */
  flush(): void {
    this.dirty = false;
    this.guarded(flushSession);
  }

  /** The transport drained: goes on with queued data. Sends at once, no further flush is needed. */
  transportDrained(): void {
    this.guarded(flushSession);
  }

  /** The transport is gone; `code` is the WebSocket close code, 1006 for none. */
  transportClosed(code: number): void {
    if (this.phase === Phase.ENDED) return;
    const cause = new Error(`WebSocket closed with ${code}`);
    const error = muxClosedError("ERR_MUX_TRANSPORT_LOST", "transport", false, cause);
    endSession(this, error, null, TRANSPORT_GONE, "");
  }

  /**
   * Opens a stream; its SYN leaves with the next flush, in the same message as data written now.
   * With too many opens unacknowledged the stream waits in order (its writes queue up) until a place
   * is free or openTimeoutMs has passed.
   *
   * @throws ClosedError, retriable: ERR_MUX_SESSION_CLOSED, ERR_MUX_GOING_AWAY,
   *   ERR_MUX_STREAMS_EXHAUSTED, ERR_MUX_TOO_MANY_STREAMS, ERR_MUX_OPEN_QUEUE_FULL
   */
  open(handler: StreamHandler): Stream {
    return openStream(this, handler);
  }

  /**
   * GoAway(0), and every later SYN is refused; when the last stream ends or the time is up the
   * transport is closed.
   */
  drain(
    closeCode: number = CloseCode.NORMAL,
    reason = "",
    drainTimeoutMs: number = this.options.drainTimeoutMs,
  ): void {
    if (this.phase === Phase.ENDED) return;
    if (this.ending === null || !this.ending.refuses) {
      appendFrame(this, FrameType.GO_AWAY, 0, 0, GoAwayCode.NORMAL);
    }
    beginDrain(this, closeCode, reason, drainTimeoutMs, true);
  }

  /** Like drain(), but tells the peer nothing: a GoAway would read as "dial again". */
  drainSilently(closeCode: number, reason: string, drainTimeoutMs: number): void {
    if (this.phase === Phase.ENDED) return;
    beginDrain(this, closeCode, reason, drainTimeoutMs, true);
  }

  /** Ends now. Streams get ClosedError ERR_MUX_SESSION_CLOSED. Idempotent. */
  close(closeCode: number, reason: string, goAway: number | null): void {
    if (this.phase === Phase.ENDED) return;
    const error = muxClosedError("ERR_MUX_SESSION_CLOSED", "local");
    endSession(this, error, goAway, closeCode, reason);
  }

  /**
   * Does what is due (keepalive, timeouts, budgets).
   *
   * @returns when it has to be called next, clock ms; Infinity for never. A later call on the session
   *   can make it earlier: `dueAt` tells, and sessionOnDirty is called then.
   */
  tick(): number {
    if (this.phase === Phase.OPEN) {
      try {
        runTimers(this, this.clock.now());
      } catch (cause) {
        failInternal(this, cause);
      }
    }
    return this.dueAt;
  }

  // ---- what the decoder reports ----

  frameOnData(flags: number, streamId: number, length: number): void {
    onDataHeader(this, flags, streamId, length);
  }

  frameOnPayload(chunk: Uint8Array, start: number, end: number): void {
    onPayload(this, chunk, start, end);
  }

  frameOnDataEnd(): void {
    onDataEnd(this);
  }

  frameOnControl(type: number, flags: number, streamId: number, length: number): void {
    if (type === FrameType.WINDOW_UPDATE) onWindowUpdate(this, flags, streamId, length);
    else if (type === FrameType.PING) onPing(this, flags, length);
    else onGoAway(this, length);
  }

  frameOnInvalid(version: number, _type: number): void {
    failSession(this, version === 0 ? "ERR_MUX_BAD_TYPE" : "ERR_MUX_BAD_VERSION");
  }

  // ---- for the multiplexer's own files ----

  /** SYNs are answered by RST. */
  get refusesStreams(): boolean {
    return this.ending?.refuses === true;
  }

  /** There is something to send. The last thing a call does: the owner may flush right away. */
  markDirty(): void {
    if (this.dirty || this.flushing || this.phase === Phase.ENDED) return;
    this.dirty = true;
    this.handler.sessionOnDirty(this);
  }

  /** Something is due at `at`; lets the owner know when that is earlier than what tick() said. */
  lowerDue(at: number): void {
    if (at >= this.dueAt) return;
    this.dueAt = at;
    this.markDirty();
  }

  spend(): Budgets {
    this.budgets ??= new Budgets(this.options, this.lastReceivedAt);
    return this.budgets;
  }

  addHeld(bytes: number): void {
    this.recvHeld += bytes;
    this.pools.addHeld(this, bytes);
  }

  releaseHeld(bytes: number): void {
    this.recvHeld -= bytes;
    this.pools.releaseHeld(this, bytes);
  }

  sendAck(stream: Stream): void {
    sendAckFrame(stream);
  }

  measureWhileDataFlows(): void {
    measureRoundTrip(this);
  }

  private feed(chunk: Uint8Array): void {
    this.lastReceivedAt = this.clock.now();
    if (this.tally !== null) this.tally.messagesIn += 1;
    if (chunk.length === 0) noOp(this);
    else this.decoder.feed(chunk, this);
  }

  private guarded(action: (session: Session) => void): void {
    if (this.phase === Phase.ENDED || this.flushing) return;
    this.flushing = true;
    try {
      if (this.congestion !== null) probeTransport(this);
      action(this);
    } catch (cause) {
      failInternal(this, cause);
    }
    this.flushing = false;
    if (this.ringHead !== null && this.blocked === 0) this.markDirty();
  }
}
