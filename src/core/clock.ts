// The global of this name is read through a getter, which the hot path would pay for each time.
import { performance } from "node:perf_hooks";

/**
 * A source of monotonic time. Parts that must not own a clock (mux, session store) are handed one.
 */
export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  now(): number;
}

/** The process's monotonic clock. */
export const monotonicClock: Clock = { now: () => performance.now() };

/** A clock that moves only when told to: for tests and simulations. */
export class ManualClock implements Clock {
  #now: number;

  constructor(startMs = 0) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  advance(ms: number): void {
    this.#now += ms;
  }
}
