import { checkSlowPing, checkSlowReader } from "./congestion.ts";
import { muxClosedError } from "./errors.ts";
import { checkLiveness, sendPing } from "./keepalive.ts";
import { endSession, failStream, halfCloseWait } from "./lifecycle.ts";
import { expireWaiting, releaseSlot } from "./opening.ts";
import { sendFinWhenDue } from "./sender.ts";
import { Phase, type Session } from "./session.ts";
import type { Stream } from "./stream.ts";
import { StreamState } from "./stream-state.ts";

/**
 * All timeouts of a session and its streams, looked at when the owner calls tick(). There is no
 * timer object anywhere; `session.dueAt` is never later than the first deadline.
 */

const NEVER = Number.POSITIVE_INFINITY;

/** Does what is due at `now` and sets `session.dueAt`. */
export function runTimers(session: Session, now: number): void {
  if (!session.started) {
    session.started = true;
    sendPing(session, now);
  }
  // From here on lowerDue() collects: nothing that is set while handlers run gets lost.
  session.dueAt = NEVER;
  let due = checkLiveness(session, now);
  if (isOver(session)) return;
  due = Math.min(due, checkSlowReader(session, now));
  if (isOver(session)) return;
  due = Math.min(due, checkSlowPing(session, now), expireWaiting(session, now));
  if (session.streams !== null) {
    for (const stream of session.streams.values()) {
      due = Math.min(due, checkStream(session, stream, now));
      if (isOver(session)) return;
    }
  }
  due = Math.min(due, checkDrain(session, now));
  if (isOver(session)) return;
  session.dueAt = Math.min(session.dueAt, due);
  if (session.streams !== null && session.streams.size === 0) session.streams = null;
}

function isOver(session: Session): boolean {
  return session.phase === Phase.ENDED;
}

/** @returns when this stream has to be looked at again */
function checkStream(session: Session, stream: Stream, now: number): number {
  const { options } = session;
  let due = NEVER;
  if (stream.inbound && !stream.accepted && !stream.acked) {
    const deadline = stream.bornAt + options.ackDeadlineMs;
    if (now >= deadline) {
      failStream(stream, muxClosedError("ERR_MUX_ACCEPT_TIMEOUT", "local"));
      return NEVER;
    }
    due = deadline;
  }
  if (stream.holdsSlot) {
    const deadline = stream.bornAt + options.openTimeoutMs;
    if (now < deadline) {
      due = deadline;
    } else if (stream.state === StreamState.LOCAL_FIN_UNACKED) {
      // Silence is legal after our FIN: presumed accepted.
      releaseSlot(stream);
    } else {
      failStream(stream, muxClosedError("ERR_MUX_OPEN_TIMEOUT", "local", true));
      return NEVER;
    }
  }
  if (stream.finPending && stream.queuedBytes === 0) {
    if (now >= stream.finHoldUntil) {
      sendFinWhenDue(stream);
      if (stream.closed) return NEVER;
    } else {
      due = Math.min(due, stream.finHoldUntil);
    }
  }
  return Math.min(due, checkHalves(session, stream, now));
}

/** Streams of which one half is closed and nothing moves. */
function checkHalves(session: Session, stream: Stream, now: number): number {
  if (stream.remoteEnded) {
    const wait = halfCloseWait(stream);
    const deadline = stream.activityAt + wait;
    if (now < deadline) return deadline;
    const { halfCloseTimeoutMs } = session.options;
    failStream(
      stream,
      wait < halfCloseTimeoutMs
        ? muxClosedError("ERR_MUX_STREAM_STALLED", "remote")
        : muxClosedError("ERR_MUX_HALF_CLOSE_TIMEOUT", "local"),
    );
    return NEVER;
  }
  const { lingerTimeoutMs } = session.options;
  if (lingerTimeoutMs === 0) return NEVER;
  const finSent =
    stream.state === StreamState.LOCAL_FIN || stream.state === StreamState.LOCAL_FIN_UNACKED;
  if (!finSent) return NEVER;
  const deadline = stream.activityAt + lingerTimeoutMs;
  if (now < deadline) return deadline;
  failStream(stream, muxClosedError("ERR_MUX_HALF_CLOSE_TIMEOUT", "local"));
  return NEVER;
}

/** Ends a draining session whose streams are done, or whose time is up. @returns when its time is up */
export function checkDrain(session: Session, now: number): number {
  const { ending } = session;
  if (ending === null) return NEVER;
  if (session.streamCount > 0 && now < ending.deadline) return ending.deadline;
  const error = session.goneAway
    ? muxClosedError("ERR_MUX_REMOTE_GO_AWAY", "remote")
    : muxClosedError("ERR_MUX_SESSION_CLOSED", "local");
  endSession(session, error, null, ending.closeCode, ending.reason);
  return NEVER;
}
