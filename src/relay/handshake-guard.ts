import { isIPv4, isIPv6 } from "node:net";
import type { Clock } from "../core/clock.ts";

/** Whether a handshake may go on, or what to answer it. */
export type Admission =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /** 503 where the relay takes no more at present, 429 where this address failed too often. */
      readonly status: 429 | 503;
      readonly code: "ERR_RELAY_LIMITED" | "ERR_RELAY_OVERLOADED";
      /** Seconds, at least 1. */
      readonly retryAfter: number;
    };

/** Limits of {@link HandshakeGuard}. */
export interface HandshakeGuardOptions {
  /** Handshakes that go on in a second, in total; as many may come at once. */
  readonly handshakesPerSecondMax: number;
  /** Failed handshakes of one address within a minute; as many may come at once. */
  readonly failedHandshakesPerMinuteMax: number;
  /** Addresses remembered for having failed; default 65,536 (some 6 MiB). The longest quiet is forgotten first. */
  readonly addressesMax?: number;
}

const ADMITTED: Admission = { ok: true };
const MINUTE_MS = 60_000;
const RETRY_AFTER_MAX = 60;

/**
 * Keeps handshakes within two limits: how many go on in a second, for the relay's sake, and how many of one address
 * fail in a minute, for the tokens' sake. Successful ones of one address are not limited: a whole fleet may stand
 * behind one.
 *
 * An IPv6 address counts by its /64, the least that one holder has.
 */
export class HandshakeGuard {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #failureIntervalMs: number;
  readonly #addressesMax: number;
  /** Token bucket of the whole relay. */
  #tokens: number;
  /** How many of those refused have yet to come again, if all do as told. */
  #refused = 0;
  #refilledAt: number;
  /**
   * Per address, the time at which all its failures are paid off, one each `#failureIntervalMs`. In order of the last
   * failure, which keeps those that can be forgotten near the front.
   */
  readonly #paidOffAt = new Map<string, number>();

  constructor(clock: Clock, options: HandshakeGuardOptions) {
    this.#clock = clock;
    this.#perSecond = options.handshakesPerSecondMax;
    this.#failureIntervalMs = MINUTE_MS / options.failedHandshakesPerMinuteMax;
    this.#addressesMax = options.addressesMax ?? 65_536;
    this.#tokens = this.#perSecond;
    this.#refilledAt = clock.now();
  }

  /** Addresses remembered now. */
  get addresses(): number {
    return this.#paidOffAt.size;
  }

  /** Asks for one handshake. Call before the token is looked at. */
  admit(address: string): Admission {
    const now = this.#clock.now();
    // Nobody has failed of late, as a rule: then the address need not be taken apart.
    const waitMs = this.#paidOffAt.size === 0 ? 0 : this.#failureWait(addressPrefix(address), now);
    if (waitMs > 0) {
      const retryAfter = Math.ceil(waitMs / 1_000);
      return { ok: false, status: 429, code: "ERR_RELAY_LIMITED", retryAfter };
    }
    this.#refill(now);
    if (this.#tokens >= 1) {
      this.#tokens -= 1;
      return ADMITTED;
    }
    // Each refused one is told to come when those refused before it have had their second, so that they do not all
    // come back in the same one.
    this.#refused = Math.min(this.#refused + 1, RETRY_AFTER_MAX * this.#perSecond);
    const retryAfter = Math.ceil(this.#refused / this.#perSecond);
    return { ok: false, status: 503, code: "ERR_RELAY_OVERLOADED", retryAfter };
  }

  /** Records that a handshake of this address failed for its credentials. */
  recordFailure(address: string): void {
    const now = this.#clock.now();
    const prefix = addressPrefix(address);
    const paidOffAt = Math.max(this.#paidOffAt.get(prefix) ?? now, now) + this.#failureIntervalMs;
    this.#paidOffAt.delete(prefix);
    this.#forget(now);
    this.#paidOffAt.set(prefix, Math.min(paidOffAt, now + MINUTE_MS));
  }

  /** Milliseconds until this address may fail once more; 0 when it may now. */
  #failureWait(prefix: string, now: number): number {
    const paidOffAt = this.#paidOffAt.get(prefix);
    if (paidOffAt === undefined) return 0;
    const waitMs = paidOffAt + this.#failureIntervalMs - now - MINUTE_MS;
    // Less than a microsecond is the rounding of the sums.
    return waitMs < 0.001 ? 0 : waitMs;
  }

  #refill(now: number): void {
    const earned = ((now - this.#refilledAt) * this.#perSecond) / 1_000;
    this.#refilledAt = now;
    this.#tokens = Math.min(this.#perSecond, this.#tokens + earned);
    this.#refused = Math.max(0, this.#refused - earned);
  }

  #forget(now: number): void {
    for (const [prefix, paidOffAt] of this.#paidOffAt) {
      if (paidOffAt > now && this.#paidOffAt.size < this.#addressesMax) return;
      this.#paidOffAt.delete(prefix);
    }
  }
}

/**
 * What an address counts by: an IPv4 address by itself, mapped into IPv6 or not; an IPv6 address by its first 64 bits,
 * in whatever spelling. Anything else by its text.
 */
export function addressPrefix(address: string): string {
  if (isIPv4(address)) return address;
  if (!isIPv6(address)) return address;
  const groups = ipv6Groups(address);
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    const [high = 0, low = 0] = groups.slice(6);
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
  }
  const prefix = groups.slice(0, 4).map((group) => group.toString(16));
  return `${prefix.join(":")}::/64`;
}

/** The eight groups of a valid IPv6 address. */
function ipv6Groups(address: string): number[] {
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const before = groupsOf(head);
  const after = tail === undefined ? [] : groupsOf(tail);
  const missing = tail === undefined ? 0 : 8 - before.length - after.length;
  return [...before, ...new Array<number>(missing).fill(0), ...after];
}

function groupsOf(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((part) => {
    if (!part.includes(".")) return [Number.parseInt(part, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = part.split(".").map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}
