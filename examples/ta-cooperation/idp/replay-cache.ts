/** What became of a `jti` that was shown. */
export type JtiUse = "fresh" | "seen" | "full";

/**
 * The `jti`s of assertions that are still good. One that is full takes no new one: to forget a good one would let its assertion in
 * again.
 */
export class ReplayCache {
  readonly #ends = new Map<string, number>();
  readonly #entriesMax: number;
  readonly #wallNow: () => number;

  /** @param wallNow milliseconds since 1970 */
  constructor(entriesMax: number, wallNow: () => number) {
    this.#entriesMax = entriesMax;
    this.#wallNow = wallNow;
  }

  get size(): number {
    return this.#ends.size;
  }

  /** @param endMs when the assertion ends, milliseconds since 1970 */
  use(issuer: string, jti: string, endMs: number): JtiUse {
    const key = JSON.stringify([issuer, jti]);
    const now = this.#wallNow();
    const end = this.#ends.get(key);
    if (end !== undefined && end >= now) return "seen";
    if (this.#ends.size >= this.#entriesMax) this.#sweep(now);
    if (this.#ends.size >= this.#entriesMax) return "full";
    this.#ends.set(key, endMs);
    return "fresh";
  }

  #sweep(now: number): void {
    for (const [key, end] of this.#ends) if (end < now) this.#ends.delete(key);
  }
}
