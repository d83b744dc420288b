import type { Clock } from "../../core/clock.ts";
import { AuthFailures } from "../auth-failures.ts";

const WINDOW_MS = 60_000;

/** So many of something in a minute from one address, IPv6 by /64; memory is bounded. */
export class AddressLimit {
  readonly #counts: AuthFailures;

  constructor(perMinuteMax: number, addressesMax: number, clock: Clock) {
    const limits = { failuresMax: perMinuteMax, windowMs: WINDOW_MS, addressesMax };
    this.#counts = new AuthFailures(limits, clock);
  }

  /** Seconds until the address may do it again, 0 for now. Counts nothing. */
  retryAfter(address: string): number {
    return this.#counts.retryAfter(address);
  }

  count(address: string): void {
    this.#counts.failed(address);
  }

  /** The same as {@link retryAfter}, and counts what is allowed. */
  take(address: string): number {
    const seconds = this.retryAfter(address);
    if (seconds === 0) this.count(address);
    return seconds;
  }
}
