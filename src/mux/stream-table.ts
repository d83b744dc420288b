import type { Stream } from "./stream.ts";

/**
 * The streams of one session by their id, in the order in which they were added.
 *
 * One stream that is alone lies in the table itself: most tunnels that are in use have one idle stream and no other, and
 * a Map for it takes 180 bytes.
 */
export class StreamTable {
  /** Older than all of `#others`. */
  #first: Stream | null = null;
  #others: Map<number, Stream> | null = null;

  get size(): number {
    const others = this.#others === null ? 0 : this.#others.size;
    return this.#first === null ? others : others + 1;
  }

  get(id: number): Stream | undefined {
    const first = this.#first;
    return first !== null && first.id === id ? first : this.#others?.get(id);
  }

  /** Adds a stream, whose id is no other's. */
  add(stream: Stream): void {
    if (this.size === 0) {
      this.#first = stream;
      return;
    }
    this.#others ??= new Map();
    this.#others.set(stream.id, stream);
  }

  delete(id: number): void {
    if (this.#first !== null && this.#first.id === id) this.#first = null;
    else this.#others?.delete(id);
  }

  /** The table may change during the walk: what is removed before its turn is left out. */
  *values(): IterableIterator<Stream> {
    if (this.#first !== null) yield this.#first;
    if (this.#others !== null) yield* this.#others.values();
  }
}
