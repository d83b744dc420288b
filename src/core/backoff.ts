/** Bounds of a {@link Backoff}. */
export interface BackoffOptions {
  /** Ceiling of the first delay, in milliseconds. */
  readonly baseMs: number;
  /** Ceiling of every delay, in milliseconds. */
  readonly capMs: number;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/**
 * Exponential back-off with full jitter: the n-th delay is uniform between 0 and `min(capMs, baseMs * 2^n)`.
 *
 * Full jitter spreads clients that lost the same server at the same moment over the whole interval, which
 * costs the server the fewest calls in total. It has no timer of its own.
 *
 * @see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015
 */
export class Backoff {
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #random: () => number;
  #ceilingMs: number;
  #attempts = 0;

  constructor({ baseMs, capMs, random = Math.random }: BackoffOptions) {
    if (!(baseMs > 0) || !(capMs >= baseMs)) {
      throw new RangeError("a back-off needs 0 < baseMs <= capMs");
    }
    this.#baseMs = baseMs;
    this.#capMs = capMs;
    this.#random = random;
    this.#ceilingMs = baseMs;
  }

  /** Delays given out since the last reset. */
  get attempts(): number {
    return this.#attempts;
  }

  /** The next delay in milliseconds. */
  next(): number {
    const delayMs = this.#random() * this.#ceilingMs;
    this.#attempts += 1;
    this.#ceilingMs = Math.min(this.#capMs, this.#ceilingMs * 2);
    return delayMs;
  }

  /** Starts over: the next delay is below `baseMs` again. */
  reset(): void {
    this.#attempts = 0;
    this.#ceilingMs = this.#baseMs;
  }
}
