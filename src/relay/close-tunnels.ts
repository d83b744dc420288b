import type { RelayContext } from "./context.ts";
import { CloseCode } from "./tunnel.ts";

/**
 * Closes every tunnel of a token with code 4403: the registered one, and displaced ones whose last requests still run.
 *
 * @param tokenRef public reference, `vAc_<id>`
 * @param drainMs 0 closes at once, streams included; otherwise the registered one takes no new streams, and its
 *   running ones may go on so long
 * @returns how many there were
 */
export function closeTunnels(
  { store, displaced }: RelayContext,
  tokenRef: string,
  drainMs = 0,
): number {
  let closed = 0;
  const registered = store.find(tokenRef);
  if (registered !== null) {
    closed += 1;
    if (drainMs > 0) {
      registered.drain(CloseCode.REVOKED, "closed by the operator", drainMs);
    } else {
      store.unregister(registered);
      registered.close(CloseCode.REVOKED, "closed by the operator");
    }
  }
  if (drainMs > 0) return closed;
  for (const tunnel of [...displaced]) {
    if (tunnel.tokenRef !== tokenRef) continue;
    closed += 1;
    tunnel.close(CloseCode.REVOKED, "closed by the operator");
  }
  return closed;
}
