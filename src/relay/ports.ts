import type { TunnelEvent } from "../core/tunnel-reports.ts";

/**
 * What the relay needs from others: who may connect and who may call. The relay declares it, `cli` passes an
 * implementation: the credentials file, or the gate that asks the API server.
 */

/** A device whose token was accepted. */
export interface DeviceIdentity {
  /** 16 lower-case base32 characters. */
  readonly deviceId: string;
  /** Public reference of the token, `vAc_<id>`; never the secret. */
  readonly tokenRef: string;
  readonly userId: string;
}

/** A holder of an API key. */
export interface Caller {
  /** Public reference of the key, `hwk_<id>`. */
  readonly keyId: string;
  readonly userId: string;
  /** How often this key may call; null for as often as it likes. */
  readonly limit: CallerLimit | null;
  /** Whether this key may reach the device; a foreign device answers exactly as a missing one does. */
  allows(deviceId: string): boolean;
}

/** Counts the requests of one key. */
export interface CallerLimit {
  /** Counts a request. 0 where it is within the limit; otherwise the seconds until the next one would be. */
  take(): number;
}

/** The answer of a gate: a value, or a refusal that can be told to the caller. */
export type Verdict<T> =
  | { readonly ok: true; readonly value: T }
  | {
      readonly ok: false;
      readonly status: 401 | 403 | 429 | 503;
      readonly code: string;
      /** Seconds for `Retry-After`, 0 for none. */
      readonly retryAfter: number;
    };

/** Who may connect a tunnel. */
export interface TunnelGate {
  authenticateDevice(token: string): Verdict<DeviceIdentity> | Promise<Verdict<DeviceIdentity>>;
  /** Whether the device exists, so that an absent tunnel is `offline` and not `no_device`. */
  knowsDevice(deviceId: string): boolean;
  /**
   * Finds out about a device that `knowsDevice` denies: afterwards that and `Caller.allows` answer by what is known.
   * Absent where nobody knows more. Refuses where that cannot be found out at present.
   */
  lookUpDevice?(deviceId: string): Verdict<boolean> | Promise<Verdict<boolean>>;
}

/** Who may call a device at the edge. The answer of a known key is synchronous and costs one Map look-up. */
export interface CallerGate {
  authenticateCaller(key: string): Verdict<Caller> | Promise<Verdict<Caller>>;
}

/** Hears of tunnels that come up and end. Must neither throw nor block. */
export interface TunnelListener {
  tunnelOnEvent(event: TunnelEvent): void;
}

/** A gate that remembers what it was told. */
export interface GateMemory {
  /** Takes the answers about these references and devices for forgotten, also those that are on their way. */
  forget(refs: readonly string[], deviceIds: readonly string[]): void;
}
