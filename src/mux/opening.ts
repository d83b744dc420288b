import { Ring } from "../core/ring.ts";
import { Flag, FrameType, INITIAL_WINDOW_BYTES, STREAM_ID_END } from "./constants.ts";
import { muxClosedError } from "./errors.ts";
import type { StreamHandler } from "./handlers.ts";
import { measureFirstRoundTrip } from "./keepalive.ts";
import { failInternal, removeStream, tellClosed } from "./lifecycle.ts";
import { appendFrame, linkIntoRing, pump, sendFinWhenDue } from "./sender.ts";
import { Phase, type Session } from "./session.ts";
import { Stream } from "./stream.ts";
import { StreamState as State, StreamEvent, stateOf, transition } from "./stream-state.ts";
import { StreamTable } from "./stream-table.ts";

/** Outbound opens: ids, the bound on unacknowledged ones, and those that wait for a place. */

/** Opens a stream, or lets it wait. @throws ClosedError as `Session.open` says */
export function openStream(session: Session, handler: StreamHandler): Stream {
  const { options } = session;
  if (session.phase === Phase.ENDED) {
    throw muxClosedError("ERR_MUX_SESSION_CLOSED", "local", true);
  }
  if (session.goneAway || session.ending !== null) {
    throw muxClosedError("ERR_MUX_GOING_AWAY", session.goneAway ? "remote" : "local", true);
  }
  if (session.nextStreamId + 2 * session.waitingCount >= STREAM_ID_END) {
    throw muxClosedError("ERR_MUX_STREAMS_EXHAUSTED", "local", true);
  }
  if (session.outboundCount >= options.maxOutboundStreams) {
    throw muxClosedError("ERR_MUX_TOO_MANY_STREAMS", "local", true);
  }
  const mustWait = session.unackedCount >= options.maxUnackedOpens || session.waitingCount > 0;
  if (mustWait && session.waitingCount >= options.maxWaitingOpens) {
    throw muxClosedError("ERR_MUX_OPEN_QUEUE_FULL", "local", true);
  }
  const now = session.clock.now();
  const stream = new Stream(session, handler, false, now);
  session.outboundCount += 1;
  if (mustWait) {
    enqueue(session, stream);
    session.lowerDue(now + options.openTimeoutMs);
  } else {
    start(session, stream, now);
  }
  return stream;
}

/** The FIFO keeps entries of streams that were reset while waiting; it is swept when they are most of it. */
function enqueue(session: Session, stream: Stream): void {
  session.waiting ??= new Ring<Stream>();
  const ring = session.waiting;
  for (let i = ring.length; ring.length > 2 * session.waitingCount + 16 && i > 0; i -= 1) {
    const entry = ring.shift();
    if (entry !== undefined && entry.state !== State.CLOSED) ring.push(entry);
  }
  ring.push(stream);
  session.waitingCount += 1;
}

function start(session: Session, stream: Stream, now: number): void {
  const { options } = session;
  stream.id = session.nextStreamId;
  session.nextStreamId += 2;
  stream.bornAt = now;
  stream.holdsSlot = true;
  stream.recvWindow = options.initialWindowBytes;
  stream.recvWindowMax = options.initialWindowBytes;
  session.unackedCount += 1;
  session.streams ??= new StreamTable();
  session.streams.add(stream);
  session.lowerDue(now + options.openTimeoutMs);
  measureFirstRoundTrip(session, now);
  const extra = options.initialWindowBytes - INITIAL_WINDOW_BYTES;
  appendFrame(session, FrameType.WINDOW_UPDATE, Flag.SYN, stream.id, extra);
}

/** Frees the stream's place among the unacknowledged opens; the next one starts with the flush. */
export function releaseSlot(stream: Stream): void {
  const { session } = stream;
  stream.holdsSlot = false;
  session.unackedCount -= 1;
  if (session.waitingCount > 0) session.markDirty();
}

/**
 * Starts the opens that waited, as far as there are places. Part of the flush: a transport that
 * fails here cannot come between a stream's end and its handler.
 */
export function startWaiting(session: Session): void {
  const { waiting, options } = session;
  while (waiting !== null && session.unackedCount < options.maxUnackedOpens) {
    const stream = waiting.shift();
    if (stream === undefined) return;
    if (stream.state === State.CLOSED) continue;
    session.waitingCount -= 1;
    start(session, stream, session.clock.now());
    if (session.phase === Phase.ENDED) return;
    if (stream.queuedBytes > 0) {
      // Its data follows its SYN at once, where that is possible.
      linkIntoRing(session, stream);
      pump(session);
    } else if (stream.finPending) {
      sendFinWhenDue(stream);
    }
  }
}

/** The peer's first answer to our SYN, of whatever kind. */
export function acknowledge(stream: Stream): void {
  stream.state = stateOf(transition(stream.state, StreamEvent.ACK));
  stream.acked = true;
  if (stream.holdsSlot) releaseSlot(stream);
  if (stream.finPending && stream.queuedBytes === 0) sendFinWhenDue(stream);
}

/** Fails every open that waits: no more streams may be opened. */
export function failWaiting(session: Session, initiator: "local" | "remote"): void {
  // A handler may end the session, which takes the rest over.
  while (session.waiting !== null) {
    const stream = session.waiting.shift();
    if (stream === undefined) return;
    if (stream.state === State.CLOSED) continue;
    removeStream(stream);
    try {
      tellClosed(stream, muxClosedError("ERR_MUX_GOING_AWAY", initiator, true));
    } catch (cause) {
      failInternal(session, cause);
    }
  }
}

/** Fails the opens that have waited too long. @returns when the next one will have, or Infinity */
export function expireWaiting(session: Session, now: number): number {
  const { waiting, options } = session;
  if (waiting === null) return Number.POSITIVE_INFINITY;
  for (let stream = waiting.peek(); stream !== undefined; stream = waiting.peek()) {
    if (stream.state !== State.CLOSED) {
      const deadline = stream.bornAt + options.openTimeoutMs;
      if (now < deadline) return deadline;
    }
    waiting.shift();
    if (stream.state === State.CLOSED) continue;
    removeStream(stream);
    tellClosed(stream, muxClosedError("ERR_MUX_OPEN_TIMEOUT", "local", true));
  }
  return Number.POSITIVE_INFINITY;
}
