import { CloseCode, GoAwayCode, SLOW_PING_MS } from "./constants.ts";
import { muxClosedError, muxProtocolError } from "./errors.ts";
import { endSession, TERMINATE } from "./lifecycle.ts";
import type { Session } from "./session.ts";
import { SendResult } from "./transport.ts";

/** When Data must wait: the transport holds too much, or our ping is not coming back. */

/** Why no Data is handed over; a bit set. */
export const Blocked = {
  NO: 0,
  /** The transport is above high water and has not yet come down to low water. */
  CONGESTED: 1,
  /** A ping of ours is unanswered for too long. */
  SLOW_PING: 2,
} as const;

/** Kept while the transport is above high water. */
export class Congestion {
  /** When the transport last took something. */
  progressAt: number;
  /** What the buffer would hold if nothing had been taken since the last progress. */
  expectedBytes: number;

  constructor(now: number, bufferedBytes: number) {
    this.progressAt = now;
    this.expectedBytes = bufferedBytes;
  }
}

/** After every message: notes a loss, and what the transport says of its buffer. */
export function afterSend(session: Session, result: SendResult, bytes: number): void {
  if (session.tally !== null) session.tally.messagesOut += 1;
  session.probed = false;
  if (result === SendResult.DROPPED) {
    const error = muxClosedError("ERR_MUX_TRANSPORT_LOST", "transport");
    endSession(session, error, null, TERMINATE, "");
  } else if (session.congestion !== null) {
    session.congestion.expectedBytes += bytes;
  } else if (result === SendResult.BUFFERED) {
    noteHighWater(session);
  }
}

/**
 * Whether Data may be handed to the transport now. Asks the transport once per message: what lies
 * in its buffer need not be ours.
 */
export function lineIsFree(session: Session): boolean {
  if (session.blocked !== Blocked.NO) return false;
  if (session.probed) return true;
  session.probed = true;
  noteHighWater(session);
  return session.blocked === Blocked.NO;
}

function noteHighWater(session: Session): void {
  const { options } = session;
  const buffered = session.transport.bufferedAmount();
  if (buffered <= options.wsHighWaterBytes) return;
  const now = session.clock.now();
  session.congestion = new Congestion(now, buffered);
  session.blocked |= Blocked.CONGESTED;
  session.counters.congestions += 1;
  session.lowerDue(now + options.slowReaderTimeoutMs);
}

/** Looks again while congested: lets Data go on at low water, and notes progress. */
export function probeTransport(session: Session): void {
  const { congestion } = session;
  if (congestion === null) return;
  const buffered = session.transport.bufferedAmount();
  if (buffered <= session.options.wsLowWaterBytes) {
    session.congestion = null;
    session.blocked &= ~Blocked.CONGESTED;
  } else if (buffered < congestion.expectedBytes) {
    congestion.expectedBytes = buffered;
    congestion.progressAt = session.clock.now();
  }
}

/**
 * Ends the session when a peer has read nothing for too long while the buffer is above high water.
 *
 * @returns when to look again, or Infinity
 */
export function checkSlowReader(session: Session, now: number): number {
  const { congestion } = session;
  if (congestion === null) return Number.POSITIVE_INFINITY;
  probeTransport(session);
  if (session.congestion === null) {
    session.markDirty();
    return Number.POSITIVE_INFINITY;
  }
  const deadline = congestion.progressAt + session.options.slowReaderTimeoutMs;
  if (now < deadline) return deadline;
  const error = muxProtocolError("ERR_MUX_SLOW_READER", CloseCode.POLICY);
  endSession(session, error, GoAwayCode.PROTOCOL_ERROR, CloseCode.POLICY, error.message);
  return Number.POSITIVE_INFINITY;
}

/**
 * Pauses Data while a ping of ours is overdue: the kernel's buffer cannot be seen from here, and
 * the peer's pings wait behind what lies in it.
 *
 * @returns when to look again
 */
export function checkSlowPing(session: Session, now: number): number {
  if (!session.pingOutstanding) return Number.POSITIVE_INFINITY;
  const slowAt = session.pingSentAt + SLOW_PING_MS;
  if (now < slowAt) return slowAt;
  const lostAt = session.pingSentAt + session.options.keepAliveTimeoutMs;
  if (now < lostAt) {
    session.blocked |= Blocked.SLOW_PING;
    return lostAt;
  }
  // A peer that never answers must not stop us for good: the ping is given up, and whether the
  // peer lives is judged by received bytes.
  session.pingOutstanding = false;
  resumeAfterPing(session);
  return Number.POSITIVE_INFINITY;
}

/** The ping came back, or is given up. */
export function resumeAfterPing(session: Session): void {
  if ((session.blocked & Blocked.SLOW_PING) === 0) return;
  session.blocked &= ~Blocked.SLOW_PING;
  session.markDirty();
}
