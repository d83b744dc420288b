import type { Endings } from "./context.ts";

/** Keeps the callbacks of what runs, by principal. It grows with what runs and with nothing else. */
export class RunningByPrincipal implements Endings {
  readonly #callbacks = new Map<string, Set<() => void>>();

  /** Principals in whose name something runs. */
  get size(): number {
    return this.#callbacks.size;
  }

  end(refs: Iterable<string>): void {
    for (const ref of refs) {
      const callbacks = this.#callbacks.get(ref);
      this.#callbacks.delete(ref);
      for (const callback of callbacks ?? []) callback();
    }
  }

  onEnd(ref: string, callback: () => void): () => void {
    const callbacks = this.#callbacks.get(ref) ?? new Set();
    callbacks.add(callback);
    this.#callbacks.set(ref, callbacks);
    return () => {
      callbacks.delete(callback);
      if (callbacks.size === 0 && this.#callbacks.get(ref) === callbacks) {
        this.#callbacks.delete(ref);
      }
    };
  }
}
