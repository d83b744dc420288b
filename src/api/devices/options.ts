import { PAIRING_LIMITS, type PairingLimits } from "../store/index.ts";

/** How often exchanges may fail. Each process of the API server counts for itself. */
export interface ExchangeLimits {
  /** Failures of one address (IPv6: one /64) in a window, after which it is blocked. */
  readonly failuresMax: number;
  readonly windowMs: number;
  readonly blockMs: number;
  /** Failures of all addresses in a window, after which nothing but enrolment keys is taken for a while. */
  readonly globalFailuresMax: number;
  readonly globalWindowMs: number;
  readonly pauseMs: number;
  /** Addresses with failures that are remembered; those whose last failure is the oldest are forgotten first. */
  readonly addressesMax: number;
  /** Attempts that wait until others of their address are over: of one address, and in all. */
  readonly waitingPerAddressMax: number;
  readonly waitingMax: number;
}

/** How the API server deals with devices. Times in milliseconds, as the names say. */
export interface DeviceOptions {
  /** What a device dials, for example `wss://relay.example.org`; told to it as it is. */
  readonly tunnelUrl: string;
  /** Where the relay's edge is found, for example `https://relay.example.org`; a device is at `/d/<id>/` there. */
  readonly edgeUrl: string;
  /** A device is at `<id>.<edgeDomain>` then, under the scheme and port of `edgeUrl`; null for none. */
  readonly edgeDomain: string | null;
  /** How long a device token is good, or null for ever. */
  readonly deviceTokenTtlMs: number | null;
  readonly pairing: PairingLimits;
  /** A device that was paired by a code may be called when a person has approved it. */
  readonly needsApproval: boolean;
  /** Null takes the limits off: for tests of what lies behind them. */
  readonly exchange: ExchangeLimits | null;
  readonly enrolmentKeysPerTenantMax: number;
  /** How long what the relay says of live tunnels is shown without asking again. */
  readonly liveKeptMs: number;
  /** How long the relay may take to say it, before a listing does without. */
  readonly liveTimeoutMs: number;
}

/** The defaults of every setting but the two URLs, which have none. */
export const DEVICE_DEFAULTS: Omit<DeviceOptions, "tunnelUrl" | "edgeUrl"> = {
  edgeDomain: null,
  // A device that cannot rotate its token would be lost when it expires.
  deviceTokenTtlMs: null,
  pairing: PAIRING_LIMITS,
  needsApproval: false,
  exchange: {
    failuresMax: 5,
    windowMs: 10 * 60_000,
    blockMs: 15 * 60_000,
    globalFailuresMax: 100,
    globalWindowMs: 60_000,
    pauseMs: 60_000,
    addressesMax: 20_000,
    waitingPerAddressMax: 256,
    waitingMax: 2_000,
  },
  enrolmentKeysPerTenantMax: 50,
  liveKeptMs: 1_000,
  liveTimeoutMs: 2_000,
};
