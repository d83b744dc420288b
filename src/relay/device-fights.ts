import type { Clock } from "../core/clock.ts";

/** Several connections that displace each other: one token in use by two devices, most likely. */
export interface DeviceFight {
  readonly deviceId: string;
  /** Replacements within the last minute, the present one included. */
  readonly replacements: number;
  /** How long the next replacement has to wait. */
  readonly delayMs: number;
}

/** Limits of {@link DeviceFights}. */
export interface DeviceFightsOptions {
  /** Replacements within a minute that are nobody's concern; default 5. */
  readonly replacementsPerMinuteMax?: number;
  /** Devices watched; default 4,096. The longest quiet is forgotten first. */
  readonly devicesMax?: number;
}

const MINUTE_MS = 60_000;
const DELAY_FIRST_MS = 1_000;
const DELAY_MAX_MS = 30_000;

/**
 * Watches how often the tunnel of a device is replaced. More than five times within a minute is a fight: each further
 * replacement has to wait after the last one, 1 s and then twice as long each time, up to 30 s. A device whose tunnel
 * is gone connects at once: it replaces nothing.
 */
export class DeviceFights {
  readonly #clock: Clock;
  readonly #calmMax: number;
  readonly #devicesMax: number;
  /** Times of the last replacements, oldest first, in order of each device's last one. */
  readonly #times = new Map<string, number[]>();

  constructor(clock: Clock, options: DeviceFightsOptions = {}) {
    this.#clock = clock;
    this.#calmMax = options.replacementsPerMinuteMax ?? 5;
    this.#devicesMax = options.devicesMax ?? 4_096;
  }

  /** Devices watched now. */
  get devices(): number {
    return this.#times.size;
  }

  /**
   * Milliseconds that a connection has to wait before it may replace the device's live tunnel; 0 for none. It is to be
   * refused with 429 and `Retry-After` where this is not 0.
   */
  delayMs(deviceId: string): number {
    const times = this.#times.get(deviceId);
    if (times === undefined) return 0;
    const now = this.#clock.now();
    const recent = times.filter((time) => time > now - MINUTE_MS);
    const last = recent.at(-1);
    if (last === undefined) return 0;
    return Math.max(0, last + this.#delayAfter(recent.length) - now);
  }

  /**
   * Records that a connection has replaced the device's live tunnel.
   *
   * @returns the fight, for the log and the metrics, or null where there is none
   */
  recordReplacement(deviceId: string): DeviceFight | null {
    const now = this.#clock.now();
    const times = (this.#times.get(deviceId) ?? []).filter((time) => time > now - MINUTE_MS);
    times.push(now);
    // More than this tell nothing more: the delay is at its longest.
    if (times.length > this.#calmMax + 8) times.shift();
    this.#times.delete(deviceId);
    this.#forget(now);
    this.#times.set(deviceId, times);
    const delayMs = this.#delayAfter(times.length);
    return delayMs === 0 ? null : { deviceId, replacements: times.length, delayMs };
  }

  #delayAfter(replacements: number): number {
    const excess = replacements - this.#calmMax;
    return excess <= 0 ? 0 : Math.min(DELAY_MAX_MS, DELAY_FIRST_MS * 2 ** (excess - 1));
  }

  #forget(now: number): void {
    for (const [deviceId, times] of this.#times) {
      const calm = (times.at(-1) ?? 0) <= now - MINUTE_MS;
      if (!calm && this.#times.size < this.#devicesMax) return;
      this.#times.delete(deviceId);
    }
  }
}
