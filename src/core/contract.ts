/**
 * The JSON of the relay's internal API, as the relay writes it and the API server reads it. Field names are the
 * wire's. Times are RFC 3339 in UTC. `token` is always the public reference `vAc_<id>`, never a secret.
 */

/** One live tunnel, in a listing. */
export interface SessionSummary {
  readonly token: string;
  readonly user_id: string;
  readonly device_id: string;
  readonly connected_at: string;
  readonly last_heartbeat: string;
  /** `ip:port`, an IPv6 address in brackets. */
  readonly remote_addr: string;
}

/** Answer of `GET /internal/session/:token`. */
export interface SessionDetail extends SessionSummary {
  /** False while the tunnel drains. */
  readonly connected: boolean;
}

/** Answer of `GET /internal/sessions?limit=&cursor=&user_id=`. */
export interface SessionPage {
  /** Never null. */
  readonly sessions: readonly SessionSummary[];
  /** How many match, on all pages together. */
  readonly total: number;
  /** The cursor of the next page; absent on the last. */
  readonly next?: string;
}

/** Answer of `POST /internal/session/:token/close`. */
export interface SessionClosed {
  readonly token: string;
  readonly closed: true;
}

/** Sessions on a page of a listing when the caller names no `limit`, and the most it may ask for. */
export const SESSION_PAGE_DEFAULT = 1_000;
export const SESSION_PAGE_MAX = 10_000;
