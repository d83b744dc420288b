import type { WebSocket } from "uWebSockets.js";
import type { SessionSummary } from "../core/contract.ts";
import type { AppError } from "../core/errors.ts";
import type { WheelEntry } from "../core/timer-wheel.ts";
import { reportReason } from "../core/tunnel-reports.ts";
import { Session, type SessionHandler, type Stream, type StreamHandler } from "../mux/index.ts";
import type { RelayContext } from "./context.ts";
import { IdleStreams } from "./idle-streams.ts";
import type { DeviceIdentity } from "./ports.ts";
import { SessionHandle, type SessionStore } from "./session-store.ts";
import { UwsTransport } from "./uws-transport.ts";

/** WebSocket close codes of our own. */
export const CloseCode = {
  NORMAL: 1000,
  GOING_AWAY: 1001,
  RESTART: 1012,
  OVERLOADED: 1013,
  REVOKED: 4403,
  DISPLACED: 4409,
  DISCONNECTED: 4410,
} as const;

/** The store as the relay uses it. */
export type TunnelStore = SessionStore<Tunnel>;

/** How long a stream beyond the limit of idle ones waits for the next request. */
const SURPLUS_IDLE_MS = 1_000;

/** How often a tunnel that receives is told to the store, at most. */
const HEARTBEAT_MS = 1_000;

/**
 * One connected device: its WebSocket and the yamux session on it. It is the session's handler, the store's handle, the wheel's entry and the handler of its idle streams in one object, because ten thousand of them
 * wait at once.
 */
export class Tunnel extends SessionHandle implements SessionHandler, StreamHandler, WheelEntry {
  readonly deviceId: string;
  readonly tokenRef: string;
  readonly userId: string;
  readonly remoteAddr: string;
  /** Wall clock, ms since the epoch. */
  readonly connectedAt: number;
  session: Session;
  /** Exchanges that run over this tunnel. */
  inFlight = 0;
  readonly #context: RelayContext;
  readonly #transport: UwsTransport<Tunnel>;
  #idle: IdleStreams | null = null;
  /** False once no new stream may be opened: displaced, going away, closing. */
  #live = true;
  #closed = false;
  #cutOff = false;
  #isDisplaced = false;
  /** Set while the close code that ended it is known. */
  #closeReason = "";

  wheelNext: WheelEntry | null = null;
  wheelPrevious: WheelEntry | null = null;
  wheelSlot = -1;
  wheelAtMs = 0;

  constructor(
    context: RelayContext,
    identity: DeviceIdentity,
    remoteAddr: string,
    ws: WebSocket<Tunnel>,
  ) {
    super();
    this.#context = context;
    this.deviceId = identity.deviceId;
    this.tokenRef = identity.tokenRef;
    this.userId = identity.userId;
    this.remoteAddr = remoteAddr;
    this.connectedAt = Date.now();
    this.#transport = new UwsTransport(ws, context.metrics);
    this.session = new Session(
      context.options.yamuxRole,
      context.muxOptions,
      this.#transport,
      this,
      context.clock,
      context.pools,
    );
    this.#scheduleAt(this.session.dueAt);
  }

  /** True while new streams may be opened. */
  get isLive(): boolean {
    return this.#live && this.session.canOpen;
  }

  /** Somebody wanted it closed, or its token is good no longer: what runs ends now and is not tried again. */
  get isCutOff(): boolean {
    return this.#cutOff;
  }

  /** False while it drains or is being cleaned up (K12). */
  get connected(): boolean {
    return this.#live && this.session.isOpen;
  }

  // ---- the store's handle ------------------------------------------------------------------------------------

  get lastHeartbeatAt(): number {
    return this.session.lastReceivedAt;
  }

  recordHeartbeat(_time: number): void {
    // A heartbeat is a received byte, and the session has noted it.
  }

  summary(): SessionSummary {
    const silentMs = this.#context.clock.now() - this.session.lastReceivedAt;
    return {
      token: this.tokenRef,
      user_id: this.userId,
      device_id: this.deviceId,
      connected_at: new Date(this.connectedAt).toISOString(),
      last_heartbeat: new Date(Date.now() - silentMs).toISOString(),
      remote_addr: this.remoteAddrText,
    };
  }

  /** `ip:port`. uWS tells no port; 0 keeps the form that readers of it take apart. */
  get remoteAddrText(): string {
    return this.remoteAddr.includes(":") ? `[${this.remoteAddr}]:0` : `${this.remoteAddr}:0`;
  }

  /** Ends the tunnel now, streams included. */
  close(code: number = CloseCode.NORMAL, reason = "closed"): void {
    this.#live = false;
    this.#cutOff = code === CloseCode.REVOKED || code === CloseCode.DISCONNECTED;
    this.#closeReason = reason;
    this.session.close(code, reason, null);
  }

  /** A newer connection of the device took over: no GoAway, for that would call the agent back. */
  displace(): void {
    this.#live = false;
    this.#closeReason = "displaced";
    this.#isDisplaced = true;
    this.#dropIdle();
    this.#context.metrics.displaced();
    this.#context.displaced.add(this);
    const grace = this.#context.options.displacedGraceMs;
    this.session.drainSilently(CloseCode.DISPLACED, "displaced by a newer connection", grace);
    this.#schedule();
  }

  /** No new streams; running ones may finish for `graceMs`, then the WebSocket closes with `code`. */
  drain(code: number, reason: string, graceMs: number): void {
    this.#live = false;
    this.#closeReason = reason;
    this.#dropIdle();
    this.session.drain(code, reason, graceMs);
    this.#schedule();
  }

  // ---- streams -----------------------------------------------------------------------------------------------

  /** An idle kept-alive stream, or null. The caller becomes its handler. */
  takeIdle(): Stream | null {
    return this.#idle === null ? null : this.#idle.take();
  }

  /**
   * Keeps a stream for a later exchange, or ends it.
   *
   * @param keepAliveMs what the device's `Keep-Alive` field allows, 0 when it says nothing
   */
  putIdle(stream: Stream, keepAliveMs: number): void {
    const { options } = this.#context;
    if (!this.#live || options.idleStreamsPerTunnelMax === 0) {
      this.spendStream(stream, false);
      return;
    }
    if (this.#idle === null) this.#idle = new IdleStreams();
    // Beyond the limit a stream waits for a moment only: requests that end in one turn start together again in the
    // next, and closing and opening all but a few streams each time costs more than the requests themselves.
    const surplus = this.#idle.size >= options.idleStreamsPerTunnelMax;
    const idleMs = surplus ? SURPLUS_IDLE_MS : options.idleStreamMs;
    // One second less than the device says, so that it does not close while a request is on its way.
    const allowedMs = keepAliveMs > 0 ? keepAliveMs - 1_000 : idleMs;
    if (allowedMs <= 0) {
      this.spendStream(stream, false);
      return;
    }
    // The end of the answer came with the last message, or waited for its client a while: then it idles shorter.
    const until = this.session.lastReceivedAt + Math.min(allowedMs, idleMs);
    stream.handler = this;
    this.#idle.put(stream, until);
    this.#scheduleAt(until);
  }

  /**
   * Ends a stream that serves no further exchange.
   *
   * @param unread the device may still send: reset it when its FIN comes, or after a second
   */
  spendStream(stream: Stream, unread: boolean): void {
    if (stream.closed) return;
    stream.handler = this;
    if (!unread) stream.end();
    if (stream.closed) return;
    if (this.#idle === null) this.#idle = new IdleStreams();
    const until = this.#context.clock.now() + (unread ? 1_000 : 5_000);
    this.#idle.spend(stream, until);
    this.#scheduleAt(until);
  }

  #dropIdle(): void {
    const idle = this.#idle;
    if (idle === null) return;
    for (let stream = idle.take(); stream !== null; stream = idle.take()) {
      this.spendStream(stream, false);
    }
  }

  /** An idle or spent stream has bytes that nobody asked for. */
  streamOnData(stream: Stream, _chunk: Uint8Array, start: number, end: number): void {
    if (this.#idle?.isSpent(stream) === true) {
      stream.consume(end - start);
      return;
    }
    this.#idle?.remove(stream);
    stream.reset();
  }

  streamOnEnd(stream: Stream): void {
    if (this.#idle?.isSpent(stream) === true) {
      this.#idle.remove(stream);
      if (!stream.localEnded) stream.reset();
      return;
    }
    this.#idle?.remove(stream);
    stream.end();
  }

  streamOnWritable(_stream: Stream): void {}

  streamOnClose(stream: Stream, _error: AppError | null): void {
    this.#idle?.remove(stream);
  }

  // ---- the session's handler ---------------------------------------------------------------------------------

  sessionOnDirty(session: Session): void {
    this.#context.turn.addDirty(session);
    this.#scheduleAt(session.dueAt);
  }

  /** Devices serve; they do not call. */
  sessionOnStream(_session: Session, stream: Stream): void {
    stream.reset();
  }

  sessionOnGoAway(_session: Session, code: number): void {
    this.#live = false;
    this.#dropIdle();
    this.#context.log.info({ device: this.deviceId, goAway: code }, "device goes away");
    this.#schedule();
  }

  sessionOnClose(_session: Session, error: AppError): void {
    this.#live = false;
    this.#context.wheel.cancel(this);
    if (this.#closeReason === "") this.#closeReason = error.code;
  }

  // ---- the wheel ---------------------------------------------------------------------------------------------

  wheelOnDue(nowMs: number): void {
    if (this.#closed) return;
    const { turn } = this.#context;
    turn.beginAlone(this.session);
    this.#runDue(nowMs);
    turn.endAlone();
  }

  #runDue(nowMs: number): void {
    const idle = this.#idle;
    if (idle !== null) {
      for (let stream = idle.takeDueIdle(nowMs); stream !== null; ) {
        this.spendStream(stream, false);
        stream = idle.takeDueIdle(nowMs);
      }
      for (let stream = idle.takeDueSpent(nowMs); stream !== null; ) {
        stream.reset();
        stream = idle.takeDueSpent(nowMs);
      }
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.#closed) return;
    const due = Math.min(this.session.tick(), this.#idle?.nextDue() ?? Number.POSITIVE_INFINITY);
    if (this.#closed) return;
    if (due === Number.POSITIVE_INFINITY) this.#context.wheel.cancel(this);
    else this.#context.wheel.schedule(this, due);
  }

  /** Makes sure that the entry is due by `atMs`. */
  #scheduleAt(atMs: number): void {
    if (this.#closed) return;
    if (this.wheelSlot === -1 || this.wheelAtMs > atMs) this.#context.wheel.schedule(this, atMs);
  }

  // ---- the WebSocket -----------------------------------------------------------------------------------------

  /** The endpoint's `message` handler: `message` is detached when this returns. */
  webSocketOnMessage(message: ArrayBuffer, isBinary: boolean): void {
    this.#context.metrics.tunnelBytesIn += message.byteLength;
    const { session } = this;
    const { dueAt } = session;
    if (isBinary) session.receive(new Uint8Array(message));
    else session.receiveText();
    if (session.lastReceivedAt - this.storeQueuedAt >= HEARTBEAT_MS) {
      // Not when the wheel comes by: others were heard since, and the store would have to search for the place.
      this.#context.store.touch(this);
    }
    if (session.dueAt > dueAt) this.#postpone();
  }

  /** The device has answered our ping: its entry leaves the slot where it lies among others that were asked, too. */
  #postpone(): void {
    if (this.#closed || !this.session.isOpen) return;
    const due = Math.min(this.session.dueAt, this.#idle?.nextDue() ?? Number.POSITIVE_INFINITY);
    this.#context.wheel.schedule(this, due);
  }

  webSocketOnDrain(): void {
    this.session.transportDrained();
  }

  /** The WebSocket is gone; nothing may be sent any more. */
  webSocketOnClose(code: number): void {
    this.#transport.detach();
    this.#live = false;
    this.session.transportClosed(code);
    this.#closed = true;
    this.#context.wheel.cancel(this);
    this.#context.store.unregister(this);
    this.#context.displaced.delete(this);
    this.#context.metrics.tunnelClosed(code);
    const reason = this.#closeReason === "" ? `closed with ${code}` : this.#closeReason;
    this.#context.tunnelListener?.tunnelOnEvent({
      kind: "closed",
      token: this.tokenRef,
      device_id: this.deviceId,
      reason: reportReason(reason),
      displaced: this.#isDisplaced,
      at: new Date().toISOString(),
    });
    this.#context.tunnelLog.closed(this.deviceId, this.tokenRef, code, this.#closeReason);
  }
}
