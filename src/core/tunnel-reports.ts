/**
 * The JSON of `POST /internal/tunnels`, by which a relay tells the API server of tunnels that came up and ended. Both
 * ends read it by `tunnel-report-schema.ts`. `docs/internal-api.md` describes it.
 */

/** Something that happened to a tunnel. `at` is RFC 3339 in UTC. */
export type TunnelEvent = TunnelOpened | TunnelClosed | TunnelFight;

/** It came up. */
export interface TunnelOpened {
  readonly kind: "opened";
  /** Public reference of the token, `vAc_<id>`. */
  readonly token: string;
  readonly device_id: string;
  /** `ip:port`, an IPv6 address in brackets. */
  readonly remote_addr: string;
  /** What an agent of ours says in its handshake; null for others. */
  readonly agent_version: string | null;
  /** It took the place of a tunnel that was up. */
  readonly replaced: boolean;
  readonly at: string;
}

/** It is gone. */
export interface TunnelClosed {
  readonly kind: "closed";
  readonly token: string;
  readonly device_id: string;
  /** A few words, for people: what ended it. */
  readonly reason: string;
  /** A newer one of the same device had taken its place. */
  readonly displaced: boolean;
  readonly at: string;
}

/** Connections of one device replace each other more often than any reconnect would. */
export interface TunnelFight {
  readonly kind: "fight";
  readonly token: string;
  readonly device_id: string;
  /** Within the last minute. */
  readonly replacements: number;
  readonly at: string;
}

/** Body of `POST /internal/tunnels`: what happened, in its order. */
export interface TunnelReport {
  readonly events: readonly TunnelEvent[];
}

/** Answer of `POST /internal/tunnels`. */
export interface TunnelReportTaken {
  /** So many from the front are noted; the rest is to be sent again. */
  readonly taken: number;
}

/** Events of one report. */
export const TUNNEL_EVENTS_MAX = 500;
/** Bytes of one report: what the limit above comes to, and some room. */
export const TUNNEL_REPORT_BYTES_MAX = 1 << 18;
export const CLOSE_REASON_LENGTH_MAX = 100;

/** A reason as a report may carry it: visible ASCII, short, never empty. */
export function reportReason(text: string): string {
  const plain = text.replace(/[^ -~]/g, "?").slice(0, CLOSE_REASON_LENGTH_MAX);
  return plain === "" ? "closed" : plain;
}
