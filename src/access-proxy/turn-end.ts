/** Something that is sent at the end of a turn. */
export interface Held {
  /** Sends it. May come more than once. */
  flush(): void;
}

/**
 * What one turn of the event loop has to send, sent together at its end. Whoever is written to wakes up for the first of it and
 * finds the rest there; written one by one, each message wakes a process that had gone back to sleep meanwhile, which costs the
 * one that writes more than all else that a small call does.
 */
export class TurnEnd {
  #held: Held[] = [];
  readonly #flush = (): void => {
    const held = this.#held;
    this.#held = [];
    for (const each of held) each.flush();
  };

  /** Has `held` flushed once all that can be read now is read. */
  add(held: Held): void {
    this.#held.push(held);
    if (this.#held.length === 1) setImmediate(this.#flush);
  }
}
