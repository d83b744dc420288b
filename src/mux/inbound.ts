import { ByteQueue } from "./byte-queue.ts";
import {
  EARLY_RESET_MS,
  Flag,
  FrameType,
  INITIAL_WINDOW_BYTES,
  LATE_FRAMES_PER_STREAM,
} from "./constants.ts";
import { muxClosedError, muxStreamError } from "./errors.ts";
import { early, noOp, refusal, tinyFrame } from "./guard.ts";
import { NO_HANDLER, type StreamHandler } from "./handlers.ts";
import { failInternal, failSession, failStream, remoteFin, streamOnReset } from "./lifecycle.ts";
import { acknowledge } from "./opening.ts";
import { checkHeld } from "./recv-memory.ts";
import { appendFrame, linkIntoRing, sendFinWhenDue } from "./sender.ts";
import { Phase, type Session } from "./session.ts";
import { Stream } from "./stream.ts";
import {
  ANSWER_RST,
  EMPTY,
  IGNORE,
  StreamEvent,
  StreamState,
  stateOf,
  transition,
} from "./stream-state.ts";
import { StreamTable } from "./stream-table.ts";
import { creditDue, windowAfterCredit } from "./window.ts";

/**
 * What arrives for streams. Order inside one frame: RST, SYN, ACK, payload or credit, FIN.
 *
 * A Data header charges the window for its whole length before any payload byte is awaited.
 */

/** Tiny frames are counted: less payload, or less credit, than this. */
const TINY_DATA_BYTES = 32;
const TINY_CREDIT_BYTES = 64;

/** Header of a Data frame. Leaves the stream that takes the payload in `session.inStream`. */
export function onDataHeader(session: Session, flags: number, id: number, length: number): void {
  session.inStream = null;
  session.inFin = false;
  const { counters } = session;
  counters.dataFramesIn += 1;
  counters.dataBytesIn += length;
  if (length > 0 && length < TINY_DATA_BYTES && !tinyFrame(session)) return;
  const stream = session.streams?.get(id);
  if (stream === undefined || (flags & ~Flag.FIN & 0xf) !== 0) {
    onRareData(session, stream, flags, id, length);
    return;
  }
  takeDataHeader(session, stream, flags, length);
}

/** Data for a stream that exists, after RST, SYN and ACK were dealt with. */
function takeDataHeader(session: Session, stream: Stream, flags: number, length: number): void {
  if (length === 0 && (flags & Flag.FIN) === 0) {
    if (!stream.inbound && !stream.acked) acknowledge(stream);
    noOp(session);
    return;
  }
  if (length > 0) {
    if (length > stream.recvWindow) {
      overrun(session, stream, length);
      return;
    }
    if (!stream.inbound && !stream.acked) acknowledge(stream);
    const cell = transition(stream.state, StreamEvent.DATA);
    stream.recvWindow -= length;
    if ((cell & ANSWER_RST) !== 0) {
      // The peer may go on for a while: what it was granted is thrown away, not punished.
      failStream(stream, muxStreamError("ERR_MUX_DATA_AFTER_FIN"));
      return;
    }
    if (stream.state === StreamState.LOCAL_FIN) stream.activityAt = session.lastReceivedAt;
    session.measureWhileDataFlows();
  }
  session.inStream = stream;
  session.inFin = (flags & Flag.FIN) !== 0;
}

/** Data with RST, SYN or ACK, or for no stream of ours. */
function onRareData(
  session: Session,
  known: Stream | undefined,
  flags: number,
  id: number,
  length: number,
): void {
  let stream = known;
  if (stream === undefined) {
    if ((flags & Flag.SYN) !== 0 && length > INITIAL_WINDOW_BYTES) {
      failSession(session, "ERR_MUX_RECV_WINDOW_EXCEEDED");
      return;
    }
    stream = onUnknown(session, flags, id, length, true) ?? undefined;
    if (stream !== undefined && !stream.closed) takeDataHeader(session, stream, flags, length);
    return;
  }
  if ((flags & Flag.RST) !== 0 && length > stream.recvWindow) {
    overrun(session, stream, length);
    return;
  }
  if ((flags & Flag.RST) !== 0) stream.recvWindow -= length;
  if (onResetSynAck(session, stream, flags, 0)) takeDataHeader(session, stream, flags, length);
}

/** A WindowUpdate frame. */
export function onWindowUpdate(session: Session, flags: number, id: number, credit: number): void {
  session.counters.windowUpdatesIn += 1;
  const stream = session.streams?.get(id);
  if (stream === undefined) {
    const opened = onUnknown(session, flags, id, credit, false);
    if (opened !== null && !opened.closed && (flags & Flag.FIN) !== 0) onFin(session, opened);
    return;
  }
  if ((flags & 0xf) !== 0 && !onResetSynAck(session, stream, flags, credit)) return;
  if (credit > 0) {
    if (credit < TINY_CREDIT_BYTES && !tinyFrame(session)) return;
    if (!stream.inbound && !stream.acked) acknowledge(stream);
    if (stream.closed) return;
    addCredit(session, stream, credit);
    if (session.phase === Phase.ENDED) return;
  } else if ((flags & 0xf) === 0) {
    if (!stream.inbound && !stream.acked) acknowledge(stream);
    noOp(session);
    return;
  }
  if ((flags & Flag.FIN) !== 0 && !stream.closed) onFin(session, stream);
}

/** RST, SYN and ACK of a frame for a known stream. @returns false when the frame is dealt with */
function onResetSynAck(session: Session, stream: Stream, flags: number, length: number): boolean {
  if ((flags & Flag.RST) !== 0) {
    onReset(session, stream, length);
    return false;
  }
  if ((flags & Flag.SYN) !== 0) {
    failSession(session, stream.inbound ? "ERR_MUX_DUPLICATE_SYN" : "ERR_MUX_ROLE_MISMATCH");
    return false;
  }
  if ((flags & Flag.ACK) !== 0) {
    const cell = transition(stream.state, StreamEvent.ACK);
    if ((cell & IGNORE) !== 0) noOp(session);
    else acknowledge(stream);
  }
  return session.phase !== Phase.ENDED && !stream.closed;
}

function onReset(session: Session, stream: Stream, length: number): void {
  session.counters.resetsIn += 1;
  session.counters.lastResetLength = length;
  if (stream.inbound) {
    const now = session.lastReceivedAt;
    if ((!stream.acked || now - stream.bornAt < EARLY_RESET_MS) && !early(session)) return;
    streamOnReset(stream, muxClosedError("ERR_MUX_STREAM_RESET", "remote"));
  } else if (stream.acked) {
    streamOnReset(stream, muxClosedError("ERR_MUX_STREAM_RESET", "remote"));
  } else {
    // Nothing was received, so the peer never took it; unless it was presumed to have.
    streamOnReset(stream, muxClosedError("ERR_MUX_STREAM_REFUSED", "remote", stream.holdsSlot));
  }
}

function addCredit(session: Session, stream: Stream, credit: number): void {
  const window = windowAfterCredit(stream.sendWindow, credit);
  if (window < 0) {
    failSession(session, "ERR_MUX_SEND_WINDOW_OVERFLOW");
    return;
  }
  stream.sendWindow = window;
  if (stream.remoteEnded) stream.activityAt = session.lastReceivedAt;
  if (stream.queue !== null && stream.queue.bytes > 0 && !stream.inRing) {
    linkIntoRing(session, stream);
    if (stream.inRing) session.markDirty();
  }
}

function onFin(session: Session, stream: Stream): void {
  if (!stream.inbound && !stream.acked) acknowledge(stream);
  if (stream.closed) return;
  const cell = transition(stream.state, StreamEvent.FIN);
  if ((cell & IGNORE) !== 0) noOp(session);
  else remoteFin(stream, cell);
}

/** The frame announced by the last Data header is complete. */
export function onDataEnd(session: Session): void {
  const stream = session.inStream;
  session.inStream = null;
  if (stream !== null && session.inFin && !stream.closed) onFin(session, stream);
}

/** Payload bytes. Without a stream that takes them they are thrown away; the header has accounted for them. */
export function onPayload(session: Session, chunk: Uint8Array, start: number, end: number): void {
  const stream = session.inStream;
  if (stream === null) return;
  const length = end - start;
  stream.unconsumed += length;
  session.addHeld(length);
  if (stream.accepted && stream.held === null) {
    stream.handler.streamOnData(stream, chunk, start, end);
  } else {
    stream.held ??= new ByteQueue();
    stream.held.push(session.pools, chunk, start, end);
  }
  checkHeld(session);
}

/** Data beyond the window: nothing of it is kept. */
function overrun(session: Session, stream: Stream, length: number): void {
  const { options } = session;
  if (
    options.overrunPolicy === "session" ||
    length > options.maxWindowBytes ||
    !session.spend().spendOverrun(session.lastReceivedAt)
  ) {
    failSession(session, "ERR_MUX_RECV_WINDOW_EXCEEDED");
    return;
  }
  failStream(stream, muxStreamError("ERR_MUX_RECV_WINDOW_EXCEEDED"));
}

/**
 * A frame for an id that is not in the table.
 *
 * @returns the stream that its SYN opened, announced and with the credit added; null for none
 */
function onUnknown(
  session: Session,
  flags: number,
  id: number,
  length: number,
  isData: boolean,
): Stream | null {
  if (id === 0) {
    failSession(session, "ERR_MUX_STREAM_ID_ZERO");
    return null;
  }
  const ours = (id & 1) === (session.nextStreamId & 1);
  if ((flags & Flag.SYN) !== 0) {
    if (!ours) return onSyn(session, flags, id, length, isData);
    failSession(session, "ERR_MUX_ROLE_MISMATCH");
    return null;
  }
  if (ours && id >= session.nextStreamId) {
    failSession(session, "ERR_MUX_UNKNOWN_STREAM");
    return null;
  }
  session.counters.ignoredFrames += 1;
  if (isData && length > 0) {
    discard(session, length);
  } else if (session.lateFrames > 0) {
    session.lateFrames -= 1;
  } else {
    noOp(session);
  }
  return null;
}

/** Payload for a stream that is gone is thrown away as it comes, as far as it was ever granted. */
function discard(session: Session, length: number): void {
  if (length > session.lateAllowance) {
    failSession(session, "ERR_MUX_LATE_DATA_EXCEEDED");
    return;
  }
  session.lateAllowance -= length;
  session.counters.discardedBytes += length;
}

function onSyn(
  session: Session,
  flags: number,
  id: number,
  length: number,
  isData: boolean,
): Stream | null {
  const { options } = session;
  const now = session.lastReceivedAt;
  if ((flags & Flag.RST) !== 0) {
    session.lateAllowance += isData ? length : 0;
    if (isData) discard(session, length);
    early(session);
    return null;
  }
  const within = !options.guardPeer || session.spend().spendOpen(now);
  if (
    !within ||
    session.refusesStreams ||
    session.inboundCount >= options.maxInboundStreams ||
    session.unacceptedCount >= options.acceptBacklog
  ) {
    refuse(session, id, isData ? length : 0);
    return null;
  }
  const stream = new Stream(session, NO_HANDLER, true, now);
  stream.id = id;
  session.streams ??= new StreamTable();
  session.streams.add(stream);
  session.inboundCount += 1;
  session.unacceptedCount += 1;
  session.lowerDue(now + options.ackDeadlineMs);
  if (!isData && length > 0) addCredit(session, stream, length);
  if (session.phase === Phase.ENDED) return null;
  session.handler.sessionOnStream(session, stream);
  return stream;
}

function refuse(session: Session, id: number, payload: number): void {
  session.counters.refusedStreams += 1;
  session.lateAllowance += INITIAL_WINDOW_BYTES;
  session.lateFrames += LATE_FRAMES_PER_STREAM;
  if (!refusal(session)) return;
  if (payload > 0) discard(session, payload);
  appendFrame(session, FrameType.WINDOW_UPDATE, Flag.RST, id, 0);
}

/**
 * `Stream.accept`. The stream is in the table and was not accepted before. A FIN of ours that is
 * asked for meanwhile waits until all that was held has been delivered.
 */
export function acceptStream(stream: Stream, handler: StreamHandler): void {
  const { session } = stream;
  stream.handler = handler;
  stream.accepted = true;
  session.unacceptedCount -= 1;
  if (!stream.acked) session.sendAck(stream);
  try {
    if (stream.held !== null) deliverHeld(stream, stream.held);
    if (stream.closed) return;
    if (stream.remoteEnded) stream.handler.streamOnEnd(stream);
    if (stream.finPending && stream.queuedBytes === 0) sendFinWhenDue(stream);
  } catch (cause) {
    failInternal(session, cause);
  }
}

function deliverHeld(stream: Stream, held: ByteQueue): void {
  const { pools } = stream.session;
  for (let chunk = held.shiftChunk(); chunk !== null; chunk = held.shiftChunk()) {
    try {
      stream.handler.streamOnData(stream, chunk.bytes, chunk.start, chunk.end);
    } finally {
      pools.giveChunk(chunk);
    }
    if (stream.closed) return;
  }
  stream.held = null;
}

/** ACK, with what our first window is above the standard one. */
export function sendAckFrame(stream: Stream): void {
  const { session } = stream;
  const extra = session.options.initialWindowBytes - INITIAL_WINDOW_BYTES;
  const cell = transition(stream.state, StreamEvent.SEND_ACK);
  if (cell === EMPTY) return;
  stream.state = stateOf(cell);
  stream.acked = true;
  stream.recvWindow += extra;
  stream.recvWindowMax += extra;
  appendFrame(session, FrameType.WINDOW_UPDATE, Flag.ACK, stream.id, extra);
}

/** `Stream.consume`: frees the bytes, and notes that credit may be due at the flush. */
export function consumed(stream: Stream, bytes: number): void {
  const { session } = stream;
  stream.unconsumed -= bytes;
  session.releaseHeld(bytes);
  if (stream.inCreditList || stream.remoteEnded || !stream.acked) return;
  if (creditDue(stream.recvWindowMax, bufferedBytes(stream), stream.recvWindow) === 0) return;
  stream.inCreditList = true;
  stream.creditNext = session.creditHead;
  session.creditHead = stream;
  session.markDirty();
}

/** Bytes charged to the window and not consumed: delivered ones, and the rest of a frame in progress. */
export function bufferedBytes(stream: Stream): number {
  const { session } = stream;
  return session.inStream === stream
    ? stream.unconsumed + session.decoder.remaining
    : stream.unconsumed;
}
