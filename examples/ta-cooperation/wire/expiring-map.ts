interface Kept<V> {
  readonly value: V;
  readonly keepUntilMs: number;
}

/** Values that are forgotten at their end, and no more of them than `entriesMax`: the one set longest ago makes room. */
export class ExpiringMap<V> {
  readonly #kept = new Map<string, Kept<V>>();
  readonly #entriesMax: number;
  readonly #wallNow: () => number;

  /** @param wallNow milliseconds since 1970 */
  constructor(entriesMax: number, wallNow: () => number) {
    this.#entriesMax = entriesMax;
    this.#wallNow = wallNow;
  }

  get size(): number {
    return this.#kept.size;
  }

  get(key: string): V | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    if (kept.keepUntilMs > this.#wallNow()) return kept.value;
    this.#kept.delete(key);
    return undefined;
  }

  /** @param keepUntilMs milliseconds since 1970 */
  set(key: string, value: V, keepUntilMs: number): void {
    this.#kept.delete(key);
    if (this.#kept.size >= this.#entriesMax) {
      const oldest = this.#kept.keys().next();
      if (oldest.done === false) this.#kept.delete(oldest.value);
    }
    this.#kept.set(key, { value, keepUntilMs });
  }

  delete(key: string): void {
    this.#kept.delete(key);
  }

  clear(): void {
    this.#kept.clear();
  }
}
