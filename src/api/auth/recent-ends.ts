/** Browsers that are remembered; the oldest are forgotten first. */
export const RECENT_ENDS_MAX = 10_000;

/** What became of a browser's id: gone, or replaced in the same browser by another one. */
export type EndKind = "ended" | "replaced";

/**
 * Ids that have lately ended in this process. An answer that is still on its way must neither bring such an id back
 * nor remove the cookie of the one that took its place.
 */
export class RecentEnds {
  readonly #kinds = new Map<string, EndKind>();
  readonly #max: number;

  constructor(max = RECENT_ENDS_MAX) {
    this.#max = max;
  }

  get size(): number {
    return this.#kinds.size;
  }

  note(key: string, kind: EndKind): void {
    const known = this.#kinds.get(key);
    this.#kinds.delete(key);
    this.#kinds.set(key, known === "replaced" ? known : kind);
    for (const oldest of this.#kinds.keys()) {
      if (this.#kinds.size <= this.#max) break;
      this.#kinds.delete(oldest);
    }
  }

  /** Null for one that is not remembered. */
  find(key: string): EndKind | null {
    return this.#kinds.get(key) ?? null;
  }
}
