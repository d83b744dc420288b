import { appendPongs } from "./keepalive.ts";
import { startWaiting } from "./opening.ts";
import { appendCredits } from "./recv-memory.ts";
import { pump, sendBatch } from "./sender.ts";
import { Phase, type Session } from "./session.ts";
import type { Stream } from "./stream.ts";
import { checkDrain } from "./timers.ts";

/**
 * The end of a loop turn: control frames, then queued Data as far as it may leave, then whoever
 * waited for room, and what they wrote. `session.flushing` is set throughout.
 */
export function flushSession(session: Session): void {
  appendControl(session);
  if (session.waitingCount > 0) startWaiting(session);
  pump(session);
  sendBatch(session);
  if (session.writableHead !== null) {
    tellWritable(session);
    appendControl(session);
    sendBatch(session);
  }
  if (session.ending !== null && session.phase === Phase.OPEN) {
    checkDrain(session, session.clock.now());
  }
}

function appendControl(session: Session): void {
  if (session.pongs !== null) appendPongs(session);
  if (session.creditHead !== null) appendCredits(session);
}

/** Tells each stream of the list once; those that fill up again meanwhile have their turn next time. */
function tellWritable(session: Session): void {
  let stream = session.writableHead;
  session.writableHead = null;
  while (stream !== null && session.phase === Phase.OPEN) {
    const next: Stream | null = stream.writableNext;
    stream.writableNext = null;
    stream.inWritableList = false;
    if (!stream.closed && !stream.localEnded) stream.handler.streamOnWritable(stream);
    stream = next;
  }
}
