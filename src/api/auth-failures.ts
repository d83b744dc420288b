import { isIPv6 } from "node:net";
import type { Clock } from "../core/clock.ts";

/** What {@link AuthFailures} is told. */
export interface AuthFailureLimits {
  readonly failuresMax: number;
  readonly windowMs: number;
  readonly addressesMax: number;
}

interface Window {
  count: number;
  readonly endsAt: number;
}

/**
 * Failed authentications by address, so that guessing costs the guesser and not us. A window begins with the first
 * failure. IPv6 counts by /64, which is what one subscriber has. Memory is bounded: the window that began first is
 * forgotten when there are too many.
 */
export class AuthFailures {
  readonly #limits: AuthFailureLimits;
  readonly #clock: Clock;
  /** In the order in which windows began, which is the order in which they end. */
  readonly #windows = new Map<string, Window>();

  constructor(limits: AuthFailureLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#windows.size;
  }

  /** Seconds until the address may try again, 0 for at once. Costs one look-up. */
  retryAfter(address: string): number {
    const window = this.#windows.get(networkOf(address));
    if (window === undefined || window.count < this.#limits.failuresMax) return 0;
    const leftMs = window.endsAt - this.#clock.now();
    return leftMs > 0 ? Math.ceil(leftMs / 1_000) : 0;
  }

  /** Counts one failure. */
  failed(address: string): void {
    const network = networkOf(address);
    const now = this.#clock.now();
    this.#forgetEnded(now);
    const window = this.#windows.get(network);
    if (window !== undefined) {
      window.count += 1;
      return;
    }
    if (this.#windows.size >= this.#limits.addressesMax) this.#forgetFirst();
    this.#windows.set(network, { count: 1, endsAt: now + this.#limits.windowMs });
  }

  #forgetEnded(now: number): void {
    for (const [network, { endsAt }] of this.#windows) {
      if (endsAt > now) return;
      this.#windows.delete(network);
    }
  }

  #forgetFirst(): void {
    for (const network of this.#windows.keys()) {
      this.#windows.delete(network);
      return;
    }
  }
}

/** What attempts are counted by: the address itself, or the first 64 bits of one of IPv6 in its shortest spelling. */
export function networkOf(address: string): string {
  if (!address.includes(":") || !isIPv6(address)) return address;
  const [left = "", right] = address.split("::");
  const before = left === "" ? [] : left.split(":");
  const after = right === undefined || right === "" ? [] : right.split(":");
  const zeros = Array<string>(8 - before.length - after.length).fill("0");
  return [...before, ...zeros, ...after].slice(0, 4).join(":");
}
