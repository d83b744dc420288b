import type { Clock } from "../../core/clock.ts";
import type { CallerLimit } from "../ports.ts";
import { BoundedMap } from "./bounded-map.ts";

const MINUTE_MS = 60_000;

/** A bucket that holds the requests of a minute and is filled at that rate. */
class Bucket implements CallerLimit {
  readonly perMinute: number;
  readonly #clock: Clock;
  #tokens: number;
  #filledAt: number;

  constructor(perMinute: number, clock: Clock) {
    this.perMinute = perMinute;
    this.#clock = clock;
    this.#tokens = perMinute;
    this.#filledAt = clock.now();
  }

  take(): number {
    const now = this.#clock.now();
    const filled = ((now - this.#filledAt) * this.perMinute) / MINUTE_MS;
    this.#tokens = Math.min(this.perMinute, this.#tokens + filled);
    this.#filledAt = now;
    if (this.#tokens >= 1) {
      this.#tokens -= 1;
      return 0;
    }
    return Math.max(1, Math.ceil(((1 - this.#tokens) * 60) / this.perMinute));
  }
}

/**
 * The buckets of keys that carry a limit. One outlives the answers about its key, of which there is a new one each minute,
 * and the key's being forgotten: neither fills it.
 */
export class KeyLimits {
  readonly #clock: Clock;
  readonly #buckets: BoundedMap<string, Bucket>;

  /** @param sizeMax keys with a limit whose buckets are kept */
  constructor(clock: Clock, sizeMax: number) {
    this.#clock = clock;
    this.#buckets = new BoundedMap(sizeMax);
  }

  /** Buckets that are kept. */
  get size(): number {
    return this.#buckets.size;
  }

  /** The limit of a key, null for one that carries none. */
  of(ref: string, perMinute: number | undefined): CallerLimit | null {
    if (perMinute === undefined) {
      this.#buckets.delete(ref);
      return null;
    }
    const known = this.#buckets.get(ref);
    const bucket = known?.perMinute === perMinute ? known : new Bucket(perMinute, this.#clock);
    this.#buckets.set(ref, bucket);
    return bucket;
  }
}
