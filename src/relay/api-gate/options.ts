import type { BaseUrl } from "../../core/base-url.ts";
import { type Clock, monotonicClock } from "../../core/clock.ts";
import { backgroundTimers, type GateTimers } from "./timers.ts";

/** What an `ApiGate` is told at start. Times in milliseconds. */
export interface ApiGateOptions {
  /** The API server's internal listener: `http://127.0.0.1:3722`. */
  readonly api: BaseUrl;
  /** Shared secret of the internal APIs. */
  readonly secret: string;
  /** PEM certificates that an https API server's is checked against; null for Node's own list. */
  readonly ca: string | null;
  /**
   * How long the API server may be away until nothing is good any more: live tunnels are closed, known tokens and
   * keys answered 503. 0 never.
   */
  readonly failClosedAfterMs: number;
  /** How often live tunnels are re-checked, and how long an answer counts as fresh. */
  readonly recheckMs: number;
  /** For a whole call; after it the API server is away. */
  readonly callTimeoutMs: number;
  /** Checks that wait or are under way. */
  readonly waitingMax: number;
  /** Good device tokens, and owners of devices, that are remembered; more than tunnels may be connected. */
  readonly knownTokensMax: number;
  readonly knownDevicesMax: number;
  /** Good keys that are remembered by their text. */
  readonly cachedKeysMax: number;
  /** Refusals that are remembered, and how long. */
  readonly refusedMax: number;
  readonly refusedMs: number;
  readonly clock: Clock;
  readonly timers: GateTimers;
  /** Milliseconds since 1970, for `expires_at`. */
  readonly wallNow: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** The defaults of an `ApiGate`. */
export const API_GATE_DEFAULTS = {
  ca: null,
  failClosedAfterMs: 0,
  recheckMs: 60_000,
  callTimeoutMs: 5_000,
  // A whole fleet may come back at once; each costs some 500 bytes until it is answered.
  waitingMax: 20_000,
  // Twice the tunnels that a relay takes by default: some 110 MB when full.
  knownTokensMax: 200_000,
  knownDevicesMax: 200_000,
  cachedKeysMax: 50_000,
  refusedMax: 10_000,
  refusedMs: 10_000,
  clock: monotonicClock,
  timers: backgroundTimers,
  wallNow: Date.now,
  random: Math.random,
} as const satisfies Omit<ApiGateOptions, "api" | "secret">;
