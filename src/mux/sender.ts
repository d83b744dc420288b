import { ByteQueue } from "./byte-queue.ts";
import { afterSend, lineIsFree } from "./congestion.ts";
import {
  Flag,
  FrameType,
  HEADER_BYTES,
  LARGE_WRITE_BYTES,
  QUANTUM_BYTES,
  SPLIT_RTT_MS,
} from "./constants.ts";
import { encodeHeader } from "./frame.ts";
import { localFinSent } from "./lifecycle.ts";
import type { Chunk } from "./pools.ts";
import { Phase, type Session } from "./session.ts";
import type { Stream } from "./stream.ts";
import { sendableBytes } from "./window.ts";

/**
 * The way out. Frames are written to the session's batch and leave as one message at the flush;
 * large payloads leave at once, by themselves. What flow control or the transport holds back waits
 * in its stream, and the streams take turns (deficit round robin; frames can be cut anywhere, so
 * the deficit is always zero).
 *
 * Order on the wire: per stream SYN or ACK, then Data, then FIN; nothing after RST.
 */

/** Sends the batch as one message. The session owns no batch afterwards. */
export function sendBatch(session: Session): void {
  const { batch, batchUsed } = session;
  if (batch === null) return;
  // The batch is let go first: a transport may call back into the session.
  session.batch = null;
  session.batchUsed = 0;
  if (batchUsed > 0 && session.phase !== Phase.ENDED) {
    const result = session.transport.send(new Uint8Array(batch.buffer, 0, batchUsed));
    session.pools.giveBatch(batch);
    afterSend(session, result, batchUsed);
  } else {
    session.pools.giveBatch(batch);
  }
}

/** A batch with at least `bytes` free behind `batchUsed`; null when the session died in making room. */
function roomFor(session: Session, bytes: number): Buffer | null {
  for (;;) {
    const { batch, pools } = session;
    const needed = session.batchUsed + bytes;
    if (batch === null) {
      if (session.phase === Phase.ENDED) return null;
      session.batch = pools.takeBatch(needed);
      return session.batch;
    }
    if (needed <= session.options.maxWsMessageOutBytes) {
      if (needed <= batch.length) return batch;
      const larger = pools.takeBatch(needed);
      larger.set(batch.subarray(0, session.batchUsed));
      pools.giveBatch(batch);
      session.batch = larger;
      return larger;
    }
    // A transport that calls back may leave a new batch, with little in it.
    sendBatch(session);
  }
}

/** Writes one frame without payload to the batch. */
export function appendFrame(
  session: Session,
  type: number,
  flags: number,
  id: number,
  length: number,
): void {
  const batch = roomFor(session, HEADER_BYTES);
  if (batch === null) return;
  session.batchUsed = encodeHeader(batch, session.batchUsed, type, flags, id, length);
  if (type === FrameType.WINDOW_UPDATE) session.counters.windowUpdatesOut += 1;
  else if (type === FrameType.GO_AWAY) session.counters.goAwaysOut += 1;
  else if (session.tally !== null) session.tally.pingsOut += 1;
  session.markDirty();
}

/** Data of a stream may leave right now, past no other stream. */
function mayPass(session: Session, stream: Stream): boolean {
  return (
    session.ringHead === null &&
    stream.id !== 0 &&
    (stream.queue === null || stream.queue.bytes === 0) &&
    lineIsFree(session)
  );
}

/** Largest payload of one frame for a stream that has the line to itself. */
function soloFrameBytes(session: Session): number {
  const { options } = session;
  const solo = session.rttMs > SPLIT_RTT_MS ? options.maxDataFrameBytes : Number.MAX_SAFE_INTEGER;
  const cap = options.maxWsMessageOutBytes - HEADER_BYTES;
  return options.hardWsMessageOut && cap < solo ? cap : solo;
}

/** Counts a Data frame of `bytes` against the stream's window. Called as the frame is written. */
function chargeFrame(session: Session, stream: Stream, bytes: number): void {
  stream.sendWindow -= bytes;
  const { counters } = session;
  counters.dataFramesOut += 1;
  counters.dataBytesOut += bytes;
  if (stream.remoteEnded) stream.activityAt = session.clock.now();
}

/** The ACK that an inbound stream still owes goes before its first Data and its FIN. */
export function ackIfOwed(stream: Stream): void {
  if (stream.inbound && !stream.acked) stream.session.sendAck(stream);
}

/** `Stream.write`. Our side is open and the stream is in the table or waits for its SYN. */
export function writeBytes(stream: Stream, bytes: Uint8Array): boolean {
  const { session } = stream;
  const length = bytes.length;
  if (length === 0) return writable(stream);
  ackIfOwed(stream);
  let at = 0;
  if (mayPass(session, stream)) {
    const n = sendableBytes(length, stream.sendWindow);
    if (n === length && n < LARGE_WRITE_BYTES && n <= soloFrameBytes(session)) {
      appendData(session, stream, bytes, 0, n);
      return true;
    }
    at = sendNow(session, stream, bytes, n);
    if (stream.closed) return false;
    if (at === length) return true;
  }
  return enqueue(stream, bytes, at);
}

/** `Stream.writeLatin1`: short text is encoded where it is sent from. */
export function writeText(stream: Stream, text: string): boolean {
  const { session } = stream;
  const length = text.length;
  if (length === 0) return writable(stream);
  ackIfOwed(stream);
  if (
    length < LARGE_WRITE_BYTES &&
    length <= stream.sendWindow &&
    mayPass(session, stream) &&
    length <= soloFrameBytes(session) &&
    length + HEADER_BYTES <= session.options.maxWsMessageOutBytes
  ) {
    const batch = roomFor(session, HEADER_BYTES + length);
    if (batch === null) return false;
    chargeFrame(session, stream, length);
    const at = encodeHeader(batch, session.batchUsed, FrameType.DATA, 0, stream.id, length);
    batch.write(text, at, length, "latin1");
    session.batchUsed = at + length;
    batchGrown(session);
    return true;
  }
  return writeBytes(stream, Buffer.from(text, "latin1"));
}

/** Writes one whole frame to the batch; it fits a message. */
function appendData(
  session: Session,
  stream: Stream,
  bytes: Uint8Array,
  from: number,
  length: number,
): boolean {
  const batch = roomFor(session, HEADER_BYTES + length);
  if (batch === null) return false;
  chargeFrame(session, stream, length);
  const at = encodeHeader(batch, session.batchUsed, FrameType.DATA, 0, stream.id, length);
  batch.set(length === bytes.length ? bytes : bytes.subarray(from, from + length), at);
  session.batchUsed = at + length;
  batchGrown(session);
  return true;
}

/** After Data went into the batch: wait for the flush, unless too many batches wait already. */
function batchGrown(session: Session): void {
  if (session.pools.short) sendBatch(session);
  else session.markDirty();
}

/**
 * Sends the first `allowed` bytes in as few frames as may be, as long as the transport takes them.
 *
 * @returns how many bytes have left
 */
function sendNow(session: Session, stream: Stream, bytes: Uint8Array, allowed: number): number {
  const frameBytes = soloFrameBytes(session);
  let at = 0;
  while (at < allowed && lineIsFree(session)) {
    const n = Math.min(allowed - at, frameBytes);
    const joined = session.batchUsed + HEADER_BYTES + n;
    const small = n < LARGE_WRITE_BYTES || n < allowed;
    if (
      HEADER_BYTES + n <= session.options.maxWsMessageOutBytes &&
      (small || (session.batchUsed > 0 && joined <= session.options.maxWsMessageOutBytes))
    ) {
      if (!appendData(session, stream, bytes, at, n)) return at;
      if (!small) sendBatch(session);
    } else {
      sendAlone(session, stream, bytes, at, n);
    }
    if (stream.closed) return at;
    at += n;
  }
  return at;
}

/** One frame as one message, payload not copied. What was batched goes before it. */
function sendAlone(
  session: Session,
  stream: Stream,
  bytes: Uint8Array,
  from: number,
  length: number,
): void {
  sendBatch(session);
  if (stream.closed) return;
  chargeFrame(session, stream, length);
  const { header } = session.pools;
  encodeHeader(header, 0, FrameType.DATA, 0, stream.id, length);
  const payload = length === bytes.length ? bytes : bytes.subarray(from, from + length);
  const result = session.transport.sendParts(header, payload);
  afterSend(session, result, HEADER_BYTES + length);
}

/** One frame as one message, its header written into the room before the payload. What was batched goes before it. */
function sendInPlace(session: Session, stream: Stream, chunk: Chunk, length: number): void {
  sendBatch(session);
  if (stream.closed) return;
  chargeFrame(session, stream, length);
  const from = chunk.start - HEADER_BYTES;
  encodeHeader(chunk.bytes, from, FrameType.DATA, 0, stream.id, length);
  const result = session.transport.send(chunk.bytes.subarray(from, chunk.start + length));
  afterSend(session, result, HEADER_BYTES + length);
}

/** Keeps bytes[at…] until credit, transport and turn allow. */
function enqueue(stream: Stream, bytes: Uint8Array, at: number): boolean {
  const { session } = stream;
  stream.queue ??= new ByteQueue();
  stream.queue.push(session.pools, bytes, at, bytes.length);
  session.queuedBytes += bytes.length - at;
  linkIntoRing(session, stream);
  if (!stream.inRing && stream.id !== 0) session.counters.windowStalls += 1;
  if (stream.inRing && session.blocked === 0) session.markDirty();
  if (writable(stream)) return true;
  stream.wantsWritable = true;
  return false;
}

/**
 * What write() answers. With the session's queue full every stream whose bytes would have to wait is
 * told to stop; each goes on when its own bytes have left, so that stalled streams cannot starve
 * the others.
 */
export function writable(stream: Stream): boolean {
  const { session } = stream;
  const queued = stream.queuedBytes;
  const { maxSessionSendQueueBytes, maxStreamSendQueueBytes } = session.options;
  if (session.queuedBytes >= maxSessionSendQueueBytes) {
    return queued === 0 && session.ringHead === null && session.blocked === 0;
  }
  return (
    queued === 0 ||
    (queued < maxStreamSendQueueBytes && sendableBytes(queued, stream.sendWindow) > 0)
  );
}

/** Gives the stream a place at the end of the ring, if it has both data and credit. */
export function linkIntoRing(session: Session, stream: Stream): void {
  if (stream.inRing || stream.id === 0) return;
  if (sendableBytes(stream.queuedBytes, stream.sendWindow) === 0) return;
  stream.inRing = true;
  stream.ringPrevious = session.ringTail;
  if (session.ringTail === null) session.ringHead = stream;
  else session.ringTail.ringNext = stream;
  session.ringTail = stream;
}

export function unlinkFromRing(session: Session, stream: Stream): void {
  if (stream.ringPrevious === null) session.ringHead = stream.ringNext;
  else stream.ringPrevious.ringNext = stream.ringNext;
  if (stream.ringNext === null) session.ringTail = stream.ringPrevious;
  else stream.ringNext.ringPrevious = stream.ringPrevious;
  stream.ringPrevious = null;
  stream.ringNext = null;
  stream.inRing = false;
}

/** Sends queued Data, a quantum per stream and turn, until nothing may leave. */
export function pump(session: Session): void {
  while (session.ringHead !== null && lineIsFree(session)) {
    const stream = session.ringHead;
    const { queue } = stream;
    const solo = stream.ringNext === null;
    const frameBytes = solo
      ? soloFrameBytes(session)
      : Math.min(session.options.maxDataFrameBytes, QUANTUM_BYTES);
    const sendable = queue === null ? 0 : sendableBytes(queue.bytes, stream.sendWindow);
    if (queue === null || sendable === 0) {
      unlinkFromRing(session, stream);
      if (queue !== null && queue.bytes > 0) session.counters.windowStalls += 1;
      continue;
    }
    const sent = sendQueued(session, stream, queue, Math.min(sendable, frameBytes));
    if (session.phase === Phase.ENDED) return;
    if (stream.closed) continue;
    // A stream that could not send keeps its place.
    if (!sent) continue;
    unlinkFromRing(session, stream);
    if (queue.bytes > 0) linkIntoRing(session, stream);
    else queueDrained(session, stream);
  }
}

/** Sends one frame of at most `most` bytes from the queue. @returns false when none could leave */
function sendQueued(session: Session, stream: Stream, queue: ByteQueue, most: number): boolean {
  const { head } = queue;
  const { maxWsMessageOutBytes } = session.options;
  if (head === null) return false;
  const piece = Math.min(head.end - head.start, most);
  // Alone on the line, a large piece leaves from where it lies. Frames were cut for the gateway before.
  if (piece >= LARGE_WRITE_BYTES && session.ringHead === session.ringTail) {
    sendInPlace(session, stream, head, piece);
    if (stream.closed) return false;
    queue.drop(session.pools, piece);
    session.queuedBytes -= piece;
    return true;
  }
  let room = maxWsMessageOutBytes - session.batchUsed - HEADER_BYTES;
  if (room < most && room < QUANTUM_BYTES && session.batchUsed > 0) {
    sendBatch(session);
    if (stream.closed || !lineIsFree(session)) return false;
    room = maxWsMessageOutBytes - session.batchUsed - HEADER_BYTES;
  }
  const n = Math.min(most, room);
  const batch = n > 0 ? roomFor(session, HEADER_BYTES + n) : null;
  if (batch === null) return false;
  chargeFrame(session, stream, n);
  const at = encodeHeader(batch, session.batchUsed, FrameType.DATA, 0, stream.id, n);
  queue.take(session.pools, n, batch, at);
  session.queuedBytes -= n;
  session.batchUsed = at + n;
  return true;
}

function queueDrained(session: Session, stream: Stream): void {
  if (stream.wantsWritable && !stream.inWritableList && !stream.localEnded) {
    stream.inWritableList = true;
    stream.writableNext = session.writableHead;
    session.writableHead = stream;
  }
  stream.wantsWritable = false;
  if (stream.finPending) sendFinWhenDue(stream);
}

/** `Stream.end`: FIN now, after the queue, or after the acknowledgement. */
export function endStream(stream: Stream): void {
  const { session } = stream;
  stream.finPending = true;
  if (!stream.inbound && !stream.acked) {
    stream.finHoldUntil = session.clock.now() + session.options.finHoldMs;
    session.lowerDue(stream.finHoldUntil);
  }
  if (stream.queuedBytes === 0) sendFinWhenDue(stream);
}

/** Sends the pending FIN of a stream with nothing queued, unless it must wait for the acknowledgement. */
export function sendFinWhenDue(stream: Stream): void {
  const { session } = stream;
  if (stream.id === 0 || (stream.accepted && stream.held !== null)) return;
  if (!stream.inbound && !stream.acked && session.clock.now() < stream.finHoldUntil) return;
  ackIfOwed(stream);
  appendFrame(session, FrameType.WINDOW_UPDATE, Flag.FIN, stream.id, 0);
  if (!stream.closed) localFinSent(stream);
}
