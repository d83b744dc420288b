import { resumeAfterPing } from "./congestion.ts";
import { Flag, FrameType, HEADER_BYTES, RTT_BUCKET_MS, RTT_PING_INTERVAL_MS } from "./constants.ts";
import { muxClosedError } from "./errors.ts";
import { noOp, pingAllowed } from "./guard.ts";
import { endSession, TERMINATE } from "./lifecycle.ts";
import { appendFrame } from "./sender.ts";
import type { Session } from "./session.ts";

/** Pings both ways, the round trip, and liveness by received bytes. */

/** Sends our ping. At most one is outstanding. */
export function sendPing(session: Session, now: number): void {
  if (session.pingOutstanding) return;
  session.pingValue = (session.pingValue + 1) >>> 0;
  session.pingOutstanding = true;
  session.pingSentAt = now;
  session.pingWaitMs = jittered(session);
  appendFrame(session, FrameType.PING, Flag.SYN, 0, session.pingValue);
}

/**
 * The interval after which silence is answered by a ping, shortened at random so that a fleet does not ping as one. It
 * is never longer: the peer has the whole time-out for its reply.
 */
export function jittered(session: Session): number {
  const { keepAliveIntervalMs, keepAliveJitter } = session.options;
  return keepAliveIntervalMs * (1 - keepAliveJitter * Math.random());
}

/** A Ping frame. With SYN it is a request, whatever else it carries. */
export function onPing(session: Session, flags: number, value: number): void {
  if (session.tally !== null) session.tally.pingsIn += 1;
  const now = session.lastReceivedAt;
  if ((flags & Flag.SYN) !== 0) {
    if (!pingAllowed(session)) return;
    session.pongs ??= session.pools.takePongRing();
    if (!session.pongs.push(value)) session.counters.droppedPings += 1;
    session.markDirty();
    return;
  }
  if (!session.pingOutstanding || value !== session.pingValue) {
    noOp(session);
    return;
  }
  session.pingOutstanding = false;
  noteRoundTrip(session, now, now - session.pingSentAt);
  resumeAfterPing(session);
  postponeTick(session);
}

/**
 * The reply of a peer that is idle otherwise: what was due for its ping is due no longer, and the owner, who sees `dueAt` move, is
 * spared a look at ten thousand sessions some seconds later.
 */
function postponeTick(session: Session): void {
  const { streams, waitingCount, congestion, ending } = session;
  if (streams !== null || waitingCount > 0 || congestion !== null || ending !== null) return;
  session.dueAt = session.lastReceivedAt + session.pingWaitMs;
}

/**
 * Two buckets of half a minute: the minimum over both covers the last 30 to 60 seconds.
 *
 * What is kept of a bucket that is over are whole numbers, as before the first one: with the first fraction in a field V8 lays
 * out anew every session there is, and compiles again what runs with them.
 */
function noteRoundTrip(session: Session, now: number, sample: number): void {
  if (now - session.rttBucketAt >= RTT_BUCKET_MS) {
    const stale = now - session.rttBucketAt >= 2 * RTT_BUCKET_MS;
    session.rttPrevious = stale ? 0 : Math.ceil(session.rttCurrent);
    session.rttCurrent = 0;
    session.rttBucketAt = Math.floor(now);
  }
  if (session.rttCurrent === 0 || sample < session.rttCurrent) session.rttCurrent = sample;
}

/** Data arrived: measures the round trip when the last measurement is old. */
export function measureRoundTrip(session: Session): void {
  const now = session.lastReceivedAt;
  if (session.pingOutstanding || !session.started) return;
  if (session.pingValue !== 0 && now - session.pingSentAt < RTT_PING_INTERVAL_MS) return;
  sendPing(session, now);
}

/**
 * A stream opens: measures the round trip if no ping has done so. This ping leaves together with the stream's first
 * frames, while one at the start of the session is a message of its own, and so is its answer.
 */
export function measureFirstRoundTrip(session: Session, now: number): void {
  if (session.started && session.pingValue === 0) sendPing(session, now);
}

/** Writes the replies that wait in front of what the batch holds: they overtake Data. */
export function appendPongs(session: Session): void {
  const ring = session.pongs;
  if (ring === null) return;
  session.pongs = null;
  const bytes = ring.count * HEADER_BYTES;
  const { batch, batchUsed } = session;
  if (
    batch !== null &&
    batchUsed + bytes <= batch.length &&
    batchUsed + bytes <= session.options.maxWsMessageOutBytes
  ) {
    batch.copyWithin(bytes, 0, batchUsed);
    session.batchUsed = 0;
    while (ring.count > 0) appendFrame(session, FrameType.PING, Flag.ACK, 0, ring.shift());
    session.batchUsed = bytes + batchUsed;
  } else {
    while (ring.count > 0) appendFrame(session, FrameType.PING, Flag.ACK, 0, ring.shift());
  }
  session.pools.givePongRing(ring);
}

/**
 * Pings a peer that is silent, and ends the session of one that stays so. Any received byte proves
 * liveness: a pong may sit behind the peer's own data. A ping that left late, since ticks are coarse, still has its
 * whole time-out.
 *
 * @returns when to look again
 */
export function checkLiveness(session: Session, now: number): number {
  const { keepAliveIntervalMs, keepAliveTimeoutMs } = session.options;
  const askedAt = session.pingOutstanding ? session.pingSentAt : 0;
  const silentAt = Math.max(session.lastReceivedAt + keepAliveIntervalMs, askedAt);
  const deadAt = silentAt + keepAliveTimeoutMs;
  if (now >= deadAt) {
    const error = muxClosedError("ERR_MUX_KEEPALIVE_TIMEOUT", "transport");
    endSession(session, error, null, TERMINATE, "");
    return Number.POSITIVE_INFINITY;
  }
  const pingAt = Math.min(session.lastReceivedAt + session.pingWaitMs, deadAt);
  if (now < pingAt) return pingAt;
  if (!session.pingOutstanding && session.pingSentAt < pingAt) sendPing(session, now);
  return Math.max(deadAt, session.pingSentAt + keepAliveTimeoutMs);
}
