import { CloseCode, GoAwayCode } from "./constants.ts";
import { muxClosedError } from "./errors.ts";
import { endSession } from "./lifecycle.ts";
import { failWaiting } from "./opening.ts";
import { Phase, type Session } from "./session.ts";

/** A session that ends once its streams have. */
export class Ending {
  deadline: number;
  closeCode: number;
  reason: string;
  /** We have told the peer, or displaced it: its SYNs are refused. */
  refuses: boolean;

  constructor(deadline: number, closeCode: number, reason: string, refuses: boolean) {
    this.deadline = deadline;
    this.closeCode = closeCode;
    this.reason = reason;
    this.refuses = refuses;
  }
}

/** A GoAway frame; its stream id and flags mean nothing. */
export function onGoAway(session: Session, code: number): void {
  session.counters.goAwaysIn += 1;
  if (code !== GoAwayCode.NORMAL) {
    const error = muxClosedError("ERR_MUX_REMOTE_GO_AWAY", "remote");
    endSession(session, error, null, CloseCode.NORMAL, "");
    return;
  }
  if (session.goneAway) return;
  session.goneAway = true;
  session.handler.sessionOnGoAway(session, code);
  if (session.phase === Phase.ENDED) return;
  if (session.ending === null) {
    beginDrain(session, CloseCode.NORMAL, "", session.options.drainTimeoutMs, false);
  }
}

/** Lets the session end with its streams. A second call can only bring the end nearer. */
export function beginDrain(
  session: Session,
  closeCode: number,
  reason: string,
  drainTimeoutMs: number,
  refuses: boolean,
): void {
  const deadline = session.clock.now() + drainTimeoutMs;
  const { ending } = session;
  if (ending === null) {
    session.ending = new Ending(deadline, closeCode, reason, refuses);
  } else {
    if (deadline < ending.deadline) ending.deadline = deadline;
    ending.closeCode = closeCode;
    ending.reason = reason;
    ending.refuses ||= refuses;
  }
  session.lowerDue(deadline);
  failWaiting(session, refuses ? "local" : "remote");
  // With no stream left the end comes with the flush, behind what is still to be sent.
  session.markDirty();
}
