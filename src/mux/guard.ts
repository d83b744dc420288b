import { takeToken } from "./budgets.ts";
import { CloseCode } from "./constants.ts";
import { failSession } from "./lifecycle.ts";
import type { Session } from "./session.ts";

/**
 * Rate budgets, spent by what the peer does. Each function answers whether the session lives on;
 * an exhausted budget is abuse: GoAway(1), close 1008.
 *
 * A stream that its peer resets frees its place when the handler has returned from
 * streamOnClose: work that goes on after that is the owner's to bound (CVE-2023-44487).
 */

function abuse(session: Session): false {
  failSession(session, "ERR_MUX_ABUSE", CloseCode.POLICY);
  return false;
}

/** A frame that changed nothing. */
export function noOp(session: Session): boolean {
  session.counters.ignoredFrames += 1;
  return session.spend().spendNoOp(session.lastReceivedAt) || abuse(session);
}

/** The peer reset a stream of its own before it was acknowledged or within a second. */
export function early(session: Session): boolean {
  if (!session.options.guardPeer) return true;
  return session.spend().spendEarlyReset(session.lastReceivedAt) || abuse(session);
}

/** We refused a stream. */
export function refusal(session: Session): boolean {
  if (!session.options.guardPeer) return true;
  return session.spend().spendRefusal(session.lastReceivedAt) || abuse(session);
}

/** A ping request: false when its reply is dropped, or the session is dead of too many such. */
export function pingAllowed(session: Session): boolean {
  const now = session.lastReceivedAt;
  const { pingsBurst, pingsPerSecond } = session.options;
  const fullAt = takeToken(session.pingsFullAt, now, pingsBurst, pingsPerSecond);
  if (fullAt >= 0) {
    session.pingsFullAt = fullAt;
    return true;
  }
  session.counters.droppedPings += 1;
  if (!session.spend().spendDroppedPing(now)) abuse(session);
  return false;
}

/** Data of a few bytes, or a few bytes of credit. */
export function tinyFrame(session: Session): boolean {
  if (!session.options.guardPeer) return true;
  return session.spend().spendTinyFrame(session.lastReceivedAt) || abuse(session);
}
