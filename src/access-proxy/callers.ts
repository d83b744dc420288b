import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";

/** Who may call. */
export interface CallerAuth {
  /**
   * Name of the caller, empty for the single trusted one; null where it may not call.
   *
   * @see TA cooperation, section 14.1
   */
  scopeOf(request: IncomingMessage): string | null;
  /** Field that carries the caller's credential, in lower case: it is not forwarded. Null where there is none. */
  readonly credentialField: string | null;
}

/** Whether a socket's peer is on this host. One that has reset its connection already has no address any more. */
function isLocal(address: string | undefined): boolean {
  if (address === undefined) return false;
  const bare = address.startsWith("::ffff:") ? address.slice(7) : address;
  return bare === "::1" || (isIP(bare) === 4 && bare.startsWith("127."));
}

/** Trusts whoever calls from this host over TCP. The peer of the socket counts, never a field. */
export const localCallers: CallerAuth = {
  credentialField: null,
  scopeOf: ({ socket }) => (isLocal(socket.remoteAddress) ? "" : null),
};

/** Trusts whoever may open the Unix socket that the server listens on: for such a server alone. */
export const unixSocketCallers: CallerAuth = { credentialField: null, scopeOf: () => "" };

/**
 * The same callers, if they name this listener by one of its own names: a browser that was led here by a name of somebody's own
 * says that name in `Host`.
 *
 * @param hosts values of `Host`, a port included, in lower case
 */
export function namingUs(hosts: ReadonlySet<string>, callers: CallerAuth): CallerAuth {
  return {
    credentialField: callers.credentialField,
    scopeOf: (request) =>
      hosts.has((request.headers.host ?? "").toLowerCase()) ? callers.scopeOf(request) : null,
  };
}
