import { type NotedTunnels, noteTunnels, type Store } from "../../../src/api/store/index.ts";

export const TUNNEL = { remoteAddr: "198.51.100.7:4000", agentVersion: "1.0" } as const;

/** Notes that a tunnel came up with the token of that reference, just now. */
export function noteConnected(
  store: Store,
  ref: string,
  tunnel: { readonly remoteAddr: string; readonly agentVersion: string | null } = TUNNEL,
): Promise<NotedTunnels> {
  return noteTunnels(store, [{ kind: "opened", ref, at: store.now(), replaced: false, ...tunnel }]);
}

/** Notes that the tunnel of that token is gone, just now, and no newer one is there. */
export function noteClosed(store: Store, ref: string, reason: string): Promise<NotedTunnels> {
  return noteTunnels(store, [{ kind: "closed", ref, at: store.now(), reason, displaced: false }]);
}
