import { type AppError, ClosedError } from "../core/errors.ts";
import type { Ring } from "../core/ring.ts";
import {
  CloseCode,
  Flag,
  FrameType,
  GoAwayCode,
  HEADER_BYTES,
  LATE_FRAMES_PER_STREAM,
} from "./constants.ts";
import { type MuxErrorCode, muxClosedError, muxProtocolError } from "./errors.ts";
import { encodeHeader } from "./frame.ts";
import { releaseSlot } from "./opening.ts";
import { appendFrame, unlinkFromRing } from "./sender.ts";
import { Phase, type Session } from "./session.ts";
import type { Stream } from "./stream.ts";
import { StreamEvent, StreamState, stateOf, transition } from "./stream-state.ts";
import type { StreamTable } from "./stream-table.ts";

/** How streams and sessions end. Every path out of the table goes through here. */

/** Close code for `endSession`: cut the transport without a handshake. */
export const TERMINATE = -1;
/** Close code for `endSession`: the transport is already gone. */
export const TRANSPORT_GONE = 0;

/** Gives back all that a stream holds: queues, budgets, places in lists. Not its table entry. */
function releaseStream(session: Session, stream: Stream): void {
  stream.state = StreamState.CLOSED;
  if (session.inStream === stream) session.inStream = null;
  const { pools } = session;
  if (stream.inRing) unlinkFromRing(session, stream);
  if (stream.queue !== null) {
    session.queuedBytes -= stream.queue.bytes;
    stream.queue.clear(pools);
    stream.queue = null;
  }
  if (stream.held !== null) {
    stream.held.clear(pools);
    stream.held = null;
  }
  if (stream.unconsumed > 0) {
    session.releaseHeld(stream.unconsumed);
    stream.unconsumed = 0;
  }
  if (stream.windowGrown > 0) {
    session.windowGrown -= stream.windowGrown;
    pools.returnWindow(stream.windowGrown);
    stream.windowGrown = 0;
  }
}

/**
 * Takes a stream out of the session. The caller tells its handler afterwards.
 *
 * A stream leaves an allowance behind for what the peer had in flight; see spec.md, "Closing a stream".
 */
export function removeStream(stream: Stream): void {
  const { session } = stream;
  const waiting = stream.id === 0;
  releaseStream(session, stream);
  if (stream.inbound) {
    session.inboundCount -= 1;
    if (!stream.accepted) session.unacceptedCount -= 1;
  } else {
    session.outboundCount -= 1;
  }
  if (waiting) {
    session.waitingCount -= 1;
  } else {
    session.streams?.delete(stream.id);
    session.lateFrames += LATE_FRAMES_PER_STREAM;
    allowLate(session, stream);
  }
  if (stream.holdsSlot) releaseSlot(stream);
  if (session.ending !== null && session.streamCount === 0) session.markDirty();
}

/**
 * Late Data of a removed stream is thrown away, up to what it was granted. The peer's FIN is no reason to
 * expect none: where Write and Close race in the Go implementation, Data leaves behind the FIN. But every
 * stream ends that way, so those allowances do not add up beyond what a session may hold.
 */
function allowLate(session: Session, stream: Stream): void {
  const { lateAllowance } = session;
  const allowance = lateAllowance + stream.recvWindow;
  if (!stream.remoteEnded) session.lateAllowance = allowance;
  else if (lateAllowance < session.options.maxSessionRecvBufferBytes) {
    session.lateAllowance = Math.min(allowance, session.options.maxSessionRecvBufferBytes);
  }
}

/** Our RST: removes the stream and tells nobody. */
export function resetStream(stream: Stream): void {
  removeStream(stream);
  appendReset(stream);
}

function appendReset(stream: Stream): void {
  const { session, id } = stream;
  if (id === 0) return;
  session.counters.resetsOut += 1;
  appendFrame(session, FrameType.WINDOW_UPDATE, Flag.RST, id, 0);
}

/** Tells the handler that the stream is gone, unless it has reset the stream itself meanwhile. */
export function tellClosed(stream: Stream, error: AppError | null): void {
  if (!stream.muted) stream.handler.streamOnClose(stream, error);
}

/**
 * Our RST for a reason that the handler did not ask for. The handler is told first: the transport may
 * fail over the RST, and the session's end comes after that of its streams.
 */
export function failStream(stream: Stream, error: AppError): void {
  removeStream(stream);
  tellClosed(stream, error);
  appendReset(stream);
}

/** The peer's RST. */
export function streamOnReset(stream: Stream, error: AppError): void {
  removeStream(stream);
  tellClosed(stream, error);
}

/** FIN of the peer, once all data before it was delivered. */
export function remoteFin(stream: Stream, cell: number): void {
  const next = stateOf(cell);
  stream.remoteEnded = true;
  if (next !== StreamState.CLOSED) {
    stream.state = next;
    const { session } = stream;
    stream.activityAt = session.lastReceivedAt;
    session.lowerDue(session.lastReceivedAt + halfCloseWait(stream));
    if (stream.accepted) stream.handler.streamOnEnd(stream);
    return;
  }
  removeStream(stream);
  stream.handler.streamOnEnd(stream);
  tellClosed(stream, null);
}

/** How long a stream whose peer has sent FIN may stand still: less when its data waits for credit. */
export function halfCloseWait(stream: Stream): number {
  const { stalledWriteTimeoutMs, halfCloseTimeoutMs } = stream.session.options;
  return stream.queuedBytes > 0 && !stream.inRing
    ? Math.min(stalledWriteTimeoutMs, halfCloseTimeoutMs)
    : halfCloseTimeoutMs;
}

/** Our FIN has been written to the batch. */
export function localFinSent(stream: Stream): void {
  const next = stateOf(transition(stream.state, StreamEvent.SEND_FIN));
  stream.finPending = false;
  if (next !== StreamState.CLOSED) {
    stream.state = next;
    const { session } = stream;
    if (session.options.lingerTimeoutMs > 0) {
      stream.activityAt = session.clock.now();
      session.lowerDue(stream.activityAt + session.options.lingerTimeoutMs);
    }
    return;
  }
  removeStream(stream);
  tellClosed(stream, null);
}

/** The peer broke a rule: GoAway(1) is the last frame, then the close code of the error. */
export function failSession(session: Session, code: MuxErrorCode, closeCode?: number): void {
  const error = muxProtocolError(code, closeCode);
  session.counters.protocolErrors += 1;
  endSession(session, error, error.goAwayCode, error.closeCode, error.message);
}

/** A handler threw: that is a bug of ours, and the session is the blast radius. */
export function failInternal(session: Session, cause: unknown): void {
  const error = muxClosedError("ERR_MUX_INTERNAL", "local", false, cause);
  const { INTERNAL_ERROR } = GoAwayCode;
  endSession(session, error, INTERNAL_ERROR, CloseCode.INTERNAL_ERROR, error.message);
}

/**
 * Ends the session, once: last frame, transport, streams, owner, in this order.
 *
 * @param goAway reason of the last frame, null for none; a reason other than 0 drops the batch
 * @param closeCode a WebSocket close code, TERMINATE or TRANSPORT_GONE
 */
export function endSession(
  session: Session,
  error: AppError,
  goAway: number | null,
  closeCode: number,
  reason: string,
): void {
  if (session.phase === Phase.ENDED) return;
  session.phase = Phase.ENDED;
  session.decoder.halted = true;
  session.dueAt = Number.POSITIVE_INFINITY;
  const streams = session.streams;
  const waiting = session.waiting;
  session.streams = null;
  session.waiting = null;
  session.waitingCount = 0;
  sendLast(session, goAway, closeCode);
  if (closeCode === TERMINATE) session.transport.terminate();
  else if (closeCode !== TRANSPORT_GONE) session.transport.close(closeCode, reason);
  const told = tellAll(session, error, streams, waiting);
  session.handler.sessionOnClose(session, told);
}

/**
 * Releases every stream, then tells each of them: a handler may do anything to the others meanwhile.
 *
 * @returns the error for the owner: `error`, or the bug of a handler
 */
function tellAll(
  session: Session,
  error: AppError,
  streams: StreamTable | null,
  waiting: Ring<Stream> | null,
): AppError {
  const live = streams === null ? [] : [...streams.values()];
  const unopened: Stream[] = [];
  for (let stream = waiting?.shift(); stream !== undefined; stream = waiting?.shift()) {
    if (stream.state !== StreamState.CLOSED) unopened.push(stream);
  }
  for (const stream of live) stream.lostBytes = stream.queuedBytes;
  for (const stream of live) releaseStream(session, stream);
  for (const stream of unopened) releaseStream(session, stream);
  let told = error;
  for (const stream of live) {
    const whole = stream.remoteEnded && stream.localEnded && stream.lostBytes === 0;
    told = tellLost(stream, whole ? null : error, told);
  }
  if (unopened.length === 0) return told;
  const initiator = error instanceof ClosedError ? error.initiator : "local";
  const refused = muxClosedError("ERR_MUX_SESSION_CLOSED", initiator, true, error);
  for (const stream of unopened) told = tellLost(stream, refused, told);
  return told;
}

/** Tells one of many. When its handler throws, the others are told all the same; the bug is reported last. */
function tellLost(stream: Stream, error: AppError | null, told: AppError): AppError {
  try {
    tellClosed(stream, error);
    return told;
  } catch (cause) {
    return muxClosedError("ERR_MUX_INTERNAL", "local", false, cause);
  }
}

/** Gives the batch back, sent or dropped, with a GoAway behind it where one is asked for. */
function sendLast(session: Session, goAway: number | null, closeCode: number): void {
  const { pools, transport } = session;
  const batch = session.batch;
  const gone = closeCode === TERMINATE || closeCode === TRANSPORT_GONE;
  const used = gone || (goAway !== null && goAway !== 0) ? 0 : session.batchUsed;
  session.batch = null;
  session.batchUsed = 0;
  if (session.pongs !== null) {
    pools.givePongRing(session.pongs);
    session.pongs = null;
  }
  if (batch !== null) {
    if (used > 0) transport.send(new Uint8Array(batch.buffer, 0, used));
    pools.giveBatch(batch);
  }
  if (gone || goAway === null) return;
  session.counters.goAwaysOut += 1;
  const last = new Uint8Array(HEADER_BYTES);
  encodeHeader(last, 0, FrameType.GO_AWAY, 0, 0, goAway);
  transport.send(last);
}
