import type { Clock } from "../../core/clock.ts";
import { networkOf } from "../auth-failures.ts";
import type { ExchangeLimits } from "./options.ts";

/** One attempt that was let through. It must be settled exactly once. */
export interface Attempt {
  /**
   * @param outcome `failed` for a code or key that is not good; anything else is not the caller's doing
   * @returns `paused` where this failure was the one that began a pause for all
   */
  settle(outcome: "failed" | "done"): "counted" | "paused";
}

/** Whether an attempt may begin now. */
export type Admission =
  | { readonly ok: true; readonly attempt: Attempt }
  | {
      readonly ok: false;
      /** Seconds for `Retry-After`. */
      readonly retryAfter: number;
      /** True for the first refusal of a block: what the audit log is told. */
      readonly isFirst: boolean;
    };

interface Address {
  failures: number;
  windowEndsAt: number;
  /** 0 where it is not blocked. */
  blockedUntil: number;
  refusedSince: boolean;
  /** Attempts under way. */
  trying: number;
  readonly waiting: (() => void)[];
}

/**
 * Bounds how fast pairing codes can be guessed, per address and in all. It is asked before anything is looked up.
 *
 * An attempt under way counts as a failure until it is settled: of a hundred that arrive at once no more are tried than
 * may fail, and the others wait for their turn. A fleet behind one address is held up by that for milliseconds alone.
 */
export class ExchangeLimiter {
  readonly #limits: ExchangeLimits;
  readonly #clock: Clock;
  /** Those with failures, or with attempts under way; in the order of their last failures. */
  readonly #addresses = new Map<string, Address>();
  #waiting = 0;
  #globalFailures = 0;
  #globalWindowEndsAt = 0;
  #pausedUntil = 0;

  constructor(limits: ExchangeLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#addresses.size;
  }

  /** Attempts that wait for their turn. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Seconds until pairing codes are taken again; 0 for now. */
  get pausedFor(): number {
    return secondsUntil(this.#pausedUntil, this.#clock.now());
  }

  /** Lets an attempt of an address through, once it is its turn. */
  async admit(clientAddress: string): Promise<Admission> {
    const network = networkOf(clientAddress);
    for (;;) {
      const address = this.#addressOf(network);
      if (address === null) return refusal(1);
      const now = this.#clock.now();
      if (address.blockedUntil > now) {
        const isFirst = !address.refusedSince;
        address.refusedSince = true;
        return { ok: false, retryAfter: secondsUntil(address.blockedUntil, now), isFirst };
      }
      if (address.windowEndsAt <= now) address.failures = 0;
      if (address.failures + address.trying < this.#limits.failuresMax) {
        address.trying += 1;
        return { ok: true, attempt: this.#attemptOf(network, address) };
      }
      const { waitingPerAddressMax, waitingMax } = this.#limits;
      if (address.waiting.length >= waitingPerAddressMax || this.#waiting >= waitingMax) {
        return refusal(1);
      }
      this.#waiting += 1;
      await new Promise<void>((resolve) => address.waiting.push(resolve));
      this.#waiting -= 1;
    }
  }

  #attemptOf(network: string, address: Address): Attempt {
    let isSettled = false;
    return {
      settle: (outcome) => {
        if (isSettled) return "counted";
        isSettled = true;
        address.trying -= 1;
        const beginsPause = outcome === "failed" && this.#failed(network, address);
        this.#wake(network, address);
        return beginsPause ? "paused" : "counted";
      },
    };
  }

  /** Whether a pause begins with it. */
  #failed(network: string, address: Address): boolean {
    const { failuresMax, windowMs, blockMs } = this.#limits;
    const now = this.#clock.now();
    const beginsPause = this.#countGlobally(now);
    if (address.windowEndsAt <= now) {
      address.failures = 0;
      address.windowEndsAt = now + windowMs;
    }
    address.failures += 1;
    if (address.failures >= failuresMax) {
      address.failures = 0;
      address.windowEndsAt = 0;
      address.blockedUntil = now + blockMs;
      address.refusedSince = false;
    }
    this.#addresses.delete(network);
    this.#addresses.set(network, address);
    return beginsPause;
  }

  #countGlobally(now: number): boolean {
    const { globalFailuresMax, globalWindowMs, pauseMs } = this.#limits;
    if (this.#globalWindowEndsAt <= now) {
      this.#globalFailures = 0;
      this.#globalWindowEndsAt = now + globalWindowMs;
    }
    this.#globalFailures += 1;
    if (this.#globalFailures < globalFailuresMax) return false;
    this.#globalFailures = 0;
    this.#globalWindowEndsAt = 0;
    this.#pausedUntil = now + pauseMs;
    return true;
  }

  /** Those who wait look again; an address of which nothing is to be remembered is forgotten. */
  #wake(network: string, address: Address): void {
    const now = this.#clock.now();
    const isBlocked = address.blockedUntil > now;
    const count = isBlocked ? address.waiting.length : 1;
    for (const resume of address.waiting.splice(0, count)) resume();
    const isIdle = address.trying === 0 && address.waiting.length === 0;
    if (isIdle && address.failures === 0 && !isBlocked) this.#addresses.delete(network);
  }

  /** The record of an address, made where there is none; null where there is no room. */
  #addressOf(network: string): Address | null {
    const known = this.#addresses.get(network);
    if (known !== undefined) return known;
    if (this.#addresses.size >= this.#limits.addressesMax && !this.#forgetOne()) return null;
    const address: Address = {
      failures: 0,
      windowEndsAt: 0,
      blockedUntil: 0,
      refusedSince: false,
      trying: 0,
      waiting: [],
    };
    this.#addresses.set(network, address);
    return address;
  }

  /** Forgets the address whose last failure is the oldest and that has nothing under way. */
  #forgetOne(): boolean {
    for (const [network, { trying, waiting }] of this.#addresses) {
      if (trying > 0 || waiting.length > 0) continue;
      this.#addresses.delete(network);
      return true;
    }
    return false;
  }
}

function refusal(retryAfter: number): Admission {
  return { ok: false, retryAfter, isFirst: false };
}

function secondsUntil(time: number, now: number): number {
  return time > now ? Math.ceil((time - now) / 1_000) : 0;
}
