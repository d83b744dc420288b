import type { Timers } from "../../../src/agent/timers.ts";
import { ManualClock } from "../../../src/core/clock.ts";

interface Entry {
  readonly at: number;
  readonly callback: () => void;
}

/** A clock and its timers, moved by hand; timers fire in the order of their times. */
export class ManualTimers extends ManualClock implements Timers {
  readonly #entries = new Set<Entry>();

  set(callback: () => void, delayMs: number): Entry {
    const entry = { at: this.now() + delayMs, callback };
    this.#entries.add(entry);
    return entry;
  }

  clear(handle: unknown): void {
    this.#entries.delete(handle as Entry);
  }

  /** Timers that have neither fired nor been cleared. */
  get pending(): number {
    return this.#entries.size;
  }

  /** Milliseconds until the next timer, Infinity without one. */
  get nextInMs(): number {
    return Math.min(...[...this.#entries].map((entry) => entry.at - this.now()));
  }

  override advance(ms: number): void {
    const until = this.now() + ms;
    for (;;) {
      const due = [...this.#entries]
        .filter((entry) => entry.at <= until)
        .sort((left, right) => left.at - right.at)[0];
      if (due === undefined) break;
      super.advance(Math.max(0, due.at - this.now()));
      this.#entries.delete(due);
      due.callback();
    }
    super.advance(until - this.now());
  }
}
