import { FrameType } from "./constants.ts";
import { muxClosedError } from "./errors.ts";
import { bufferedBytes } from "./inbound.ts";
import { failStream } from "./lifecycle.ts";
import { appendFrame } from "./sender.ts";
import type { Session } from "./session.ts";
import type { Stream } from "./stream.ts";
import { creditDue, TUNE_CREDITS, tunedWindow } from "./window.ts";

/** Memory that received bytes take, and the credit that follows from it. */

/** Above this share of a budget windows stop growing and large holders get no credit. */
const PRESSURE = 0.5;
/** Shedding goes on until this share is left. */
const RELIEF = 0.9;

function underPressure(session: Session): boolean {
  const { options, pools } = session;
  return (
    session.recvHeld > options.maxSessionRecvBufferBytes * PRESSURE ||
    pools.recvHeldBytes > pools.maxRecvBufferBytes * PRESSURE
  );
}

/** After bytes were delivered: resets the largest holders when a budget is full. */
export function checkHeld(session: Session): void {
  const { options, pools } = session;
  if (session.recvHeld >= options.maxSessionRecvBufferBytes) {
    const goal = options.maxSessionRecvBufferBytes * RELIEF;
    while (session.recvHeld >= goal && shedLargest(session)) {}
  }
  if (pools.recvHeldBytes >= pools.maxRecvBufferBytes) {
    const goal = pools.maxRecvBufferBytes * RELIEF;
    while (pools.recvHeldBytes >= goal && shedLargest(pools.heaviest(session))) {}
  }
}

function shedLargest(session: Session): boolean {
  let largest: Stream | null = null;
  if (session.streams === null) return false;
  for (const stream of session.streams.values()) {
    if (largest === null || stream.unconsumed > largest.unconsumed) largest = stream;
  }
  if (largest === null || largest.unconsumed === 0) return false;
  failStream(largest, muxClosedError("ERR_MUX_RECV_BUFFER_FULL", "local"));
  return true;
}

/** Writes the credit that is due on the streams noted since the last flush. */
export function appendCredits(session: Session): void {
  let stream = session.creditHead;
  session.creditHead = null;
  while (stream !== null) {
    const next: Stream | null = stream.creditNext;
    stream.creditNext = null;
    stream.inCreditList = false;
    if (!stream.closed && !stream.remoteEnded) appendCredit(session, stream);
    stream = next;
  }
}

function appendCredit(session: Session, stream: Stream): void {
  const buffered = bufferedBytes(stream);
  if (creditDue(stream.recvWindowMax, buffered, stream.recvWindow) === 0) return;
  const now = session.clock.now();
  if (underPressure(session)) {
    // A stream that holds its share or more waits until it has consumed more. One that holds
    // nothing is never held back, so each consumer's last consume() brings the credit.
    const streams = session.streams === null ? 1 : session.streams.size;
    if (stream.unconsumed > 0 && stream.unconsumed * streams >= session.recvHeld) return;
    stream.tuneCredits = 0;
  } else if (stream.unconsumed > 0) {
    // With bytes still waiting for their consumer a larger window would only let more of them wait.
    stream.tuneCredits = 0;
  } else {
    tune(session, stream, now);
  }
  const delta = stream.recvWindowMax - buffered - stream.recvWindow;
  stream.recvWindow += delta;
  appendFrame(session, FrameType.WINDOW_UPDATE, 0, stream.id, delta);
}

/** Measures how long the last credits took, and lets the window grow by that. The first one only starts the clock. */
function tune(session: Session, stream: Stream, now: number): void {
  if (stream.tuneCredits === TUNE_CREDITS) {
    grow(session, stream, now - stream.tuneAt);
    stream.tuneCredits = 0;
  }
  if (stream.tuneCredits === 0) stream.tuneAt = now;
  stream.tuneCredits += 1;
}

/** Doubles the window of a stream that is read faster than its window fills, inside both pools. */
function grow(session: Session, stream: Stream, elapsedMs: number): void {
  const { options, pools } = session;
  const max = tunedWindow(stream.recvWindowMax, options.maxWindowBytes, elapsedMs, session.rttMs);
  const growth = max - stream.recvWindowMax;
  if (growth === 0) return;
  if (session.windowGrown + growth > options.maxSessionWindowGrowthBytes) return;
  if (!pools.drawWindow(growth)) return;
  session.windowGrown += growth;
  session.counters.windowGrowths += 1;
  stream.windowGrown += growth;
  stream.recvWindowMax = max;
}
