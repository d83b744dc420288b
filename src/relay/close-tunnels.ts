import { isTokenRef } from "../core/token.ts";
import type { RelayContext } from "./context.ts";
import { CloseCode } from "./tunnel.ts";

/**
 * Ends at once what lives by tokens and keys that are good no longer. Of a token every tunnel is closed, streams
 * included, with code 4403: the registered one, and displaced ones whose last requests still run. Of a key the requests
 * at the edge end: 401 where no answer has begun, else the connection is cut.
 *
 * @param refs public references, `vAc_<id>` and `hwk_<id>`
 * @returns how many tunnels there were
 */
export function endRevoked(context: RelayContext, refs: readonly string[]): number {
  const keys = new Set<string>();
  let closed = 0;
  for (const ref of refs) {
    if (isTokenRef(ref, "key")) keys.add(ref);
    else closed += closeAtOnce(context, ref, CloseCode.REVOKED, "revoked");
  }
  if (keys.size > 0) context.forwarder.endCallers(keys);
  return closed;
}

/**
 * Closes the tunnels of a token that stays good, with code 4410: its device may dial again.
 *
 * @param drainMs 0 closes as {@link endRevoked} does; otherwise the registered one takes no new streams, and its
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
