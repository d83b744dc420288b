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

/** Answer of `GET /internal/sessions?limit=&cursor=&user_id=`, and of `?devices=`. */
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

/**
 * Names of the API server's login cookie: where the base URL is https, and on plain loopback. Cookies know no ports, so
 * that a browser sends it to a relay on the same host too.
 */
export const SESSION_COOKIE = { https: "__Host-hawser_sid", loopback: "hawser_sid" } as const;

/** Sessions on a page of a listing when the caller names no `limit`, and the most it may ask for. */
export const SESSION_PAGE_DEFAULT = 1_000;
export const SESSION_PAGE_MAX = 10_000;
/** Devices that one listing may name by their ids. */
export const SESSION_DEVICES_MAX = 200;

/**
 * The JSON of `POST /internal/authorize`, by which a relay asks the API server who may connect and who may call, and
 * of `POST /internal/changes`, by which the API server tells a relay what is good no longer. Secrets do not travel:
 * a token or key is named by its public reference and proven by the SHA-256 of its secret, which is what the API
 * server has stored. `docs/internal-api.md` describes both.
 */

/** A device token or API key that somebody presented to the relay. */
export interface SecretCheck {
  /** Public reference: `vAc_<id>` for a device token, `hwk_<id>` for a key. */
  readonly ref: string;
  /** SHA-256 of the secret, 64 lower-case hex digits. */
  readonly digest: string;
}

/** Body of `POST /internal/authorize`. All four lists may be empty. */
export interface AuthorizeRequest {
  readonly tokens: readonly SecretCheck[];
  readonly keys: readonly SecretCheck[];
  /** Device ids whose tenant the relay wants to know. */
  readonly devices: readonly string[];
  /** References of live tunnels, to learn which of them are good no longer. */
  readonly recheck: readonly string[];
}

/** What the relay answers whoever presented the secret. 401 is the same for unknown, wrong, revoked and expired. */
export interface SecretRefused {
  readonly ok: false;
  readonly status: 401 | 403 | 429;
  /** Seconds for `Retry-After`. */
  readonly retry_after?: number | undefined;
}

/** A good device token. */
export interface TokenAccepted {
  readonly ok: true;
  readonly device_id: string;
  readonly user_id: string;
  readonly tenant_id: string;
  /** The relay takes it for expired from then on, whether it can ask or not. */
  readonly expires_at?: string | undefined;
}

/** A good key that may call devices. */
export interface KeyAccepted {
  readonly ok: true;
  readonly user_id: string;
  /** The key reaches devices of this tenant only. */
  readonly tenant_id: string;
  /** Those of them that it is held to; absent for all. */
  readonly devices?: readonly string[] | undefined;
  /** Requests at the edge that it is held to, at most {@link KEY_RATE_MAX}; absent for no limit. */
  readonly requests_per_minute?: number | undefined;
  readonly expires_at?: string | undefined;
}

/** Whose a device is. */
export interface DeviceOwner {
  readonly tenant_id: string;
}

/** Answer of `POST /internal/authorize`: the n-th answer is that of the n-th question. */
export interface AuthorizeAnswer {
  readonly tokens: readonly (TokenAccepted | SecretRefused)[];
  readonly keys: readonly (KeyAccepted | SecretRefused)[];
  /** Null where there is no such device. */
  readonly devices: readonly (DeviceOwner | null)[];
  /** Those of `recheck` that are good no longer, the unknown included. */
  readonly revoked: readonly string[];
}

/** Body of `POST /internal/changes` on the relay. */
export interface CredentialChanges {
  /** References that are good no longer: forgotten, and their live tunnels closed at once. */
  readonly revoked: readonly string[];
  /** References whose answer has changed: forgotten, so that the next use asks. */
  readonly changed: readonly string[];
  /** Device ids that were made, removed or moved: forgotten likewise. */
  readonly devices: readonly string[];
}

/** Answer of `POST /internal/changes`. */
export interface ChangesTaken {
  /** Tunnels that were closed. */
  readonly closed: number;
}

/** Tokens, keys and devices together that one authorize call asks about, at most. */
export const AUTHORIZE_CHECKS_MAX = 500;
/** References that one authorize call re-checks, at most. */
export const AUTHORIZE_RECHECK_MAX = 5_000;
/** Devices that one key can be held to. */
export const KEY_DEVICES_MAX = 1_000;
/** Requests a minute that a key can be held to at most. */
export const KEY_RATE_MAX = 1_000_000;
/** Entries of one `CredentialChanges`, all lists together. */
export const CHANGES_MAX = 10_000;
/** Bytes of an authorize request and of `CredentialChanges`: what the limits above come to, and some room. */
export const AUTHORIZE_REQUEST_BYTES_MAX = 1 << 19;
