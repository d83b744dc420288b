import { SILLY_WINDOW_BYTES, WINDOW_BYTES_LIMIT } from "./constants.ts";

/** Round trips below this are no reason for a larger window. */
const GROWTH_ROUND_TRIP_MS = 2;

/** Arithmetic of flow control. Pure; all values are bytes. */

/**
 * Credit to send now, 0 for none: the half-window rule of the Go implementation.
 *
 * @param max the stream's current maximum window
 * @param buffered bytes received but not consumed, the unread rest of a frame in progress included
 * @param receiveWindow what the peer may still send
 */
export function creditDue(max: number, buffered: number, receiveWindow: number): number {
  const delta = max - buffered - receiveWindow;
  return delta * 2 >= max && delta > 0 ? delta : 0;
}

/** Send window after a credit, or -1 when it would not fit in 32 bits (CVE-2026-31814). */
export function windowAfterCredit(sendWindow: number, credit: number): number {
  const sum = sendWindow + credit;
  return sum > WINDOW_BYTES_LIMIT ? -1 : sum;
}

/**
 * Bytes of a queue that may be sent now. 0 when the credit covers neither the whole queue nor
 * 1 KiB of it: tiny frames cost more than the wait for the next credit.
 */
export function sendableBytes(queued: number, sendWindow: number): number {
  if (queued <= sendWindow) return queued;
  return sendWindow < SILLY_WINDOW_BYTES ? 0 : sendWindow;
}

/**
 * Credits of half a window by which the speed of a stream is measured. Two windows cannot arrive in less than one
 * round trip, so their time is an upper bound of the round trip: a first ping that was answered late is found out.
 */
export const TUNE_CREDITS = 4;

/**
 * Maximum window after `TUNE_CREDITS` credits that took `elapsedMs`: twice the size when they came within two round
 * trips each, since the window was then what held the sender back.
 *
 * It does not grow on a line so short that the first window carries 128 MiB/s and more: there a larger one only lets
 * bytes pile up in front of the consumer, whose copies cost more than stalls.
 *
 * @param roundTripMs 0 when unknown: no growth
 */
export function tunedWindow(
  max: number,
  limit: number,
  elapsedMs: number,
  roundTripMs: number,
): number {
  if (Math.min(roundTripMs, elapsedMs) < GROWTH_ROUND_TRIP_MS) return max;
  if (elapsedMs >= 2 * TUNE_CREDITS * roundTripMs) return max;
  return Math.max(max, Math.min(max * 2, limit));
}
