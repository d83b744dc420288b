import type { RelayContext } from "./context.ts";
import { CloseCode } from "./tunnel.ts";

/**
 * Closes every tunnel of a token that is good no longer, at once, streams included, with code 4403: the registered one,
 * and displaced ones whose last requests still run.
 *
 * @param tokenRef public reference, `vAc_<id>`
 * @returns how many there were
 */
export function closeRevoked(context: RelayContext, tokenRef: string): number {
  return closeAtOnce(context, tokenRef, CloseCode.REVOKED, "revoked");
}

/**
 * Closes the tunnels of a token that stays good, with code 4410: its device may dial again.
 *
 * @param drainMs 0 closes as {@link closeRevoked} does; otherwise the registered one takes no new streams, and its
 *   running ones may go on so long
 * @returns how many there were
 */
export function disconnectTunnels(context: RelayContext, tokenRef: string, drainMs = 0): number {
  if (drainMs === 0) {
    return closeAtOnce(context, tokenRef, CloseCode.DISCONNECTED, "disconnected");
  }
  const registered = context.store.find(tokenRef);
  registered?.drain(CloseCode.DISCONNECTED, "disconnected", drainMs);
  return registered === null ? 0 : 1;
}

function closeAtOnce(
  { store, displaced }: RelayContext,
  tokenRef: string,
  code: number,
  reason: string,
): number {
  let closed = 0;
  const registered = store.find(tokenRef);
  if (registered !== null) {
    closed += 1;
    store.unregister(registered);
    registered.close(code, reason);
  }
  for (const tunnel of [...displaced]) {
    if (tunnel.tokenRef !== tokenRef) continue;
    closed += 1;
    tunnel.close(code, reason);
  }
  return closed;
}
