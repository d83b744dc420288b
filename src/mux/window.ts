import { SILLY_WINDOW_BYTES, WINDOW_BYTES_LIMIT } from "./constants.ts";

const ROUND_TRIP_MIN_MS = 1;

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
 * Credits of half a window by which the speed of a stream is measured: enough that one burst of a consumer that lagged
 * does not look like speed.
 */
export const TUNE_CREDITS = 4;

/**
 * Maximum window after `TUNE_CREDITS` credits that took `elapsedMs`: twice the size when they came within two round
 * trips each, since the window was then what held the sender back. On a line of next to no length a larger window
 * pays too: fewer credits, and fewer times that either end sleeps and is woken.
 *
 * @param roundTripMs 0 when unknown: no growth
 */
export function tunedWindow(
  max: number,
  limit: number,
  elapsedMs: number,
  roundTripMs: number,
): number {
  if (roundTripMs <= 0) return max;
  // A loopback round trip says nothing about the event loops at both ends: 1 ms is the least.
  const roundTrip = Math.max(roundTripMs, ROUND_TRIP_MIN_MS);
  if (elapsedMs >= 2 * TUNE_CREDITS * roundTrip) return max;
  return Math.max(max, Math.min(max * 2, limit));
}
