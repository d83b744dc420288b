/** A Map with a limit: what was set longest ago makes room. */
export class BoundedMap<K, V> {
  readonly #entries = new Map<K, V>();
  readonly #sizeMax: number;
  readonly #onEvict: (value: V) => void;

  /** @param onEvict hears of each value that made room; not of those that were deleted or replaced */
  constructor(sizeMax: number, onEvict: (value: V) => void = () => {}) {
    this.#sizeMax = sizeMax;
    this.#onEvict = onEvict;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: K): V | undefined {
    return this.#entries.get(key);
  }

  /** Sets, and counts as set now. */
  set(key: K, value: V): void {
    this.#entries.delete(key);
    if (this.#entries.size >= this.#sizeMax) {
      for (const [oldest, evicted] of this.#entries) {
        this.#entries.delete(oldest);
        this.#onEvict(evicted);
        break;
      }
    }
    this.#entries.set(key, value);
  }

  delete(key: K): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }

  /** In the order in which they were set; entries may be deleted on the way. */
  entries(): IterableIterator<[K, V]> {
    return this.#entries.entries();
  }
}
