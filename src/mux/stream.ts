import { assert } from "../core/assert.ts";
import type { ByteQueue } from "./byte-queue.ts";
import { INITIAL_WINDOW_BYTES } from "./constants.ts";
import { muxClosedError } from "./errors.ts";
import type { StreamHandler } from "./handlers.ts";
import { acceptStream, consumed } from "./inbound.ts";
import { resetStream } from "./lifecycle.ts";
import { endStream, writable, writeBytes, writeText } from "./sender.ts";
import type { Session } from "./session.ts";
import { StreamState } from "./stream-state.ts";

/**
 * One stream of a session: bytes both ways under flow control, half-close, reset.
 *
 * Fields below the line are the multiplexer's own; whoever uses a stream leaves them alone.
 *
 * Invariants: unconsumed >= 0; recvWindow >= 0; state is CLOSED exactly when the stream is in no
 * table, ring or queue.
 */
export class Stream {
  /** 0 until the SYN is sent: the stream waits for a place among the unacknowledged opens. */
  id = 0;
  readonly session: Session;
  /** May be replaced by the owner between exchanges. */
  handler: StreamHandler;
  /** A free field for the owner. */
  owner: unknown = null;
  /** Delivered, or held before accept(), but not consumed; bytes. */
  unconsumed = 0;
  /** The peer has sent FIN. */
  remoteEnded = false;
  /** end() was called. */
  localEnded = false;
  /** Outbound: the peer has answered our SYN. Inbound: our ACK has been sent. */
  acked = false;

  // ---- internal ----
  state: StreamState;
  readonly inbound: boolean;
  /** Inbound: accept() was called. Outbound: always. */
  accepted: boolean;
  /** Outbound: counts among the unacknowledged opens. */
  holdsSlot = false;
  /** FIN is due as soon as the queue is empty and it need not be held. */
  finPending = false;
  /** When the FIN is sent without waiting for the acknowledgement any longer. */
  finHoldUntil = 0;
  sendWindow = INITIAL_WINDOW_BYTES;
  recvWindow = INITIAL_WINDOW_BYTES;
  /** Current maximum of the receive window. */
  recvWindowMax = INITIAL_WINDOW_BYTES;
  /** Growth drawn from the pools. */
  windowGrown = 0;
  /** Credits since `tuneAt`, by which the window is tuned; 0 before the first. */
  tuneCredits = 0;
  tuneAt = 0;
  /** When the SYN was sent, received, or began to wait. */
  bornAt: number;
  /** When something last moved, kept up only once a half is closed. */
  activityAt = 0;
  queue: ByteQueue | null = null;
  held: ByteQueue | null = null;
  wantsWritable = false;
  /** reset() was called: the handler hears nothing more. */
  muted = false;
  /** Queued bytes that died with the session. */
  lostBytes = 0;
  inRing = false;
  inCreditList = false;
  inWritableList = false;
  ringPrevious: Stream | null = null;
  ringNext: Stream | null = null;
  creditNext: Stream | null = null;
  writableNext: Stream | null = null;

  /** Made by the session alone: `session.open()`, or an inbound SYN. */
  constructor(session: Session, handler: StreamHandler, inbound: boolean, now: number) {
    this.session = session;
    this.handler = handler;
    this.inbound = inbound;
    this.accepted = !inbound;
    this.state = inbound ? StreamState.SYN_RCVD : StreamState.SYN_SENT;
    this.bornAt = now;
  }

  /** Removed from the session. */
  get closed(): boolean {
    return this.state === StreamState.CLOSED;
  }

  /** Bytes in our send queue. */
  get queuedBytes(): number {
    return this.queue === null ? 0 : this.queue.bytes;
  }

  /**
   * write() would return true now. streamOnWritable comes only after a write() that said no, not
   * after this did.
   */
  get isWritable(): boolean {
    return !this.localEnded && this.state !== StreamState.CLOSED && writable(this);
  }

  /**
   * Inbound only: attaches the handler, sends ACK (once), then delivers what arrived before, then
   * the end if it came.
   *
   * @throws ClosedError ERR_MUX_STREAM_CLOSED when the stream is already gone
   */
  accept(handler: StreamHandler): void {
    assert(this.inbound && !this.accepted, "accept() once, on an inbound stream");
    if (this.state === StreamState.CLOSED) {
      throw muxClosedError("ERR_MUX_STREAM_CLOSED", "remote", true);
    }
    acceptStream(this, handler);
  }

  /**
   * Sends `bytes`, borrowed until return; what cannot leave now is copied once into pooled chunks.
   * Always takes all.
   *
   * @returns false: stop until streamOnWritable
   * @throws ClosedError ERR_MUX_STREAM_CLOSED when our side is ended or the stream is gone
   */
  write(bytes: Uint8Array): boolean {
    this.checkOpenForWriting();
    return writeBytes(this, bytes);
  }

  /**
   * The same for head text: each UTF-16 unit becomes the byte of its low eight bits, straight into
   * the batch when it fits. The caller has checked that no unit is above 0xFF.
   */
  writeLatin1(text: string): boolean {
    this.checkOpenForWriting();
    return writeText(this, text);
  }

  /** Half-close: FIN once, after queued data. No-op when already ended or gone. */
  end(): void {
    if (this.localEnded || this.state === StreamState.CLOSED) return;
    this.localEnded = true;
    endStream(this);
  }

  /** RST now, both directions; idempotent; no handler call follows. */
  reset(): void {
    this.muted = true;
    if (this.state !== StreamState.CLOSED) resetStream(this);
  }

  /**
   * `bytes` received bytes have been taken downstream: returns credit by the half-window rule. No-op
   * once the stream is gone.
   */
  consume(bytes: number): void {
    if (this.state === StreamState.CLOSED || bytes === 0) return;
    assert(bytes > 0 && bytes <= this.unconsumed, "only delivered bytes are consumed");
    consumed(this, bytes);
  }

  private checkOpenForWriting(): void {
    if (this.localEnded || this.state === StreamState.CLOSED) {
      throw muxClosedError("ERR_MUX_STREAM_CLOSED", this.localEnded ? "local" : "remote");
    }
  }
}
