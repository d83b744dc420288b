/** The place of a value in a {@link SlotList}. */
export interface Slot<T> {
  readonly value: T;
  /** -1 once it is taken out. */
  at: number;
}

/**
 * Values that come and go all the time, in no order. A `Set` in its place makes a new table every few changes, and each dead table
 * points to the next: once one has grown old, all that follow it grow old as well, and the collector carries them along.
 */
export class SlotList<T> implements Iterable<T> {
  readonly #slots: Slot<T>[] = [];

  get size(): number {
    return this.#slots.length;
  }

  add(value: T): Slot<T> {
    const slot = { value, at: this.#slots.length };
    this.#slots.push(slot);
    return slot;
  }

  /** Whether it was still there. */
  remove(slot: Slot<T>): boolean {
    const { at } = slot;
    if (at < 0) return false;
    slot.at = -1;
    const last = this.#slots.pop();
    if (last !== undefined && last !== slot) {
      this.#slots[at] = last;
      last.at = at;
    }
    return true;
  }

  /** All places of this moment, to go through while values come and go. */
  slots(): readonly Slot<T>[] {
    return [...this.#slots];
  }

  /** All values of this moment: they may go meanwhile. */
  [Symbol.iterator](): Iterator<T> {
    return this.#slots.map(({ value }) => value).values();
  }
}
