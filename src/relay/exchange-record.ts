import type { Stage } from "../core/errors.ts";
import type { RelayContext } from "./context.ts";
import type { ForwardRoute } from "./forward.ts";

/**
 * Counts one exchange that is over, and writes its access line.
 *
 * @param stage where it failed, null where it did not
 * @param firstByteMs from its start to the response head, -1 for none
 */
export function recordExchange(
  context: RelayContext,
  route: ForwardRoute,
  status: number,
  stage: Stage | null,
  bytesIn: number,
  bytesOut: number,
  firstByteMs: number,
  totalMs: number,
): void {
  const { front, requestId, deviceId, keyId, method } = route;
  const { metrics, accessLog } = context;
  metrics.observeRequest(front, status, stage, bytesIn, bytesOut, firstByteMs, totalMs);
  accessLog.request(
    front,
    requestId,
    deviceId,
    keyId,
    method,
    status,
    stage,
    bytesIn,
    bytesOut,
    firstByteMs,
    totalMs,
  );
}

/** @see RFC 9110, section 9.2.2 */
export function isIdempotent(method: string): boolean {
  switch (method) {
    case "GET":
    case "HEAD":
    case "OPTIONS":
    case "TRACE":
    case "PUT":
    case "DELETE":
      return true;
    default:
      return false;
  }
}
