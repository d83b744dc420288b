/**
 * A first-in-first-out queue in a circular array that doubles when full. Push and shift are O(1)
 * and move nothing.
 */
export class Ring<T> {
  private items: (T | undefined)[];
  private head = 0;
  private count = 0;

  /** @param capacity places at the start, a power of two */
  constructor(capacity = 16) {
    this.items = new Array<T | undefined>(capacity).fill(undefined);
  }

  get length(): number {
    return this.count;
  }

  push(item: T): void {
    if (this.count === this.items.length) this.grow();
    this.items[(this.head + this.count) & (this.items.length - 1)] = item;
    this.count += 1;
  }

  /** The oldest item, left in place; undefined when empty. */
  peek(): T | undefined {
    return this.count === 0 ? undefined : this.items[this.head];
  }

  /** Takes the oldest item out; undefined when empty. */
  shift(): T | undefined {
    if (this.count === 0) return undefined;
    const item = this.items[this.head];
    this.items[this.head] = undefined;
    this.head = (this.head + 1) & (this.items.length - 1);
    this.count -= 1;
    return item;
  }

  private grow(): void {
    const { items, head } = this;
    const wider = new Array<T | undefined>(items.length * 2).fill(undefined);
    for (let i = 0; i < this.count; i += 1) wider[i] = items[(head + i) & (items.length - 1)];
    this.items = wider;
    this.head = 0;
  }
}
