/**
 * A list whose members never move while they are in it, so that a position is a cursor: whoever is in it during a
 * whole walk is met exactly once, however many others come and go. Free positions are used again.
 */
export class SessionSlots<H> {
  readonly #slots: (H | null)[] = [];
  readonly #free: number[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds a member and returns its position. */
  add(member: H): number {
    this.#size += 1;
    const position = this.#free.pop();
    if (position === undefined) return this.#slots.push(member) - 1;
    this.#slots[position] = member;
    return position;
  }

  /** Puts another member at a position that is in use. */
  replace(position: number, member: H): void {
    this.#slots[position] = member;
  }

  remove(position: number): void {
    this.#size -= 1;
    if (this.#size === 0) {
      this.#slots.length = 0;
      this.#free.length = 0;
      return;
    }
    this.#slots[position] = null;
    this.#free.push(position);
  }

  /**
   * Collects up to `limit` members from position `start` on.
   *
   * @param found receives the members
   * @returns the position to go on from, or -1 when no member is left
   */
  collect(start: number, limit: number, found: H[]): number {
    const slots = this.#slots;
    for (let position = start; position < slots.length; position++) {
      const member = slots[position];
      if (member === null || member === undefined) continue;
      if (found.length === limit) return position;
      found.push(member);
    }
    return -1;
  }
}
