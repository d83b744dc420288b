import type { Timers } from "../../../src/api/timers.ts";

interface Entry {
  readonly delayMs: number;
  readonly callback: () => void;
}

/** Timers that run when told to. */
export class ManualTimers implements Timers {
  readonly #entries = new Set<Entry>();
  readonly #awaited = new Set<() => void>();

  after(delayMs: number, callback: () => void): () => void {
    const entry = { delayMs, callback };
    this.#entries.add(entry);
    for (const look of this.#awaited) look();
    return () => this.#entries.delete(entry);
  }

  /** Delays of what is set. */
  get delays(): number[] {
    return [...this.#entries].map(({ delayMs }) => delayMs);
  }

  /** Resolves as soon as a timer of this delay is set. */
  set(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!this.delays.includes(delayMs)) return;
        this.#awaited.delete(look);
        resolve();
      };
      this.#awaited.add(look);
      look();
    });
  }

  /** Runs all that is set with this delay. */
  fire(delayMs: number): void {
    for (const entry of [...this.#entries]) {
      if (entry.delayMs !== delayMs) continue;
      this.#entries.delete(entry);
      entry.callback();
    }
  }
}
