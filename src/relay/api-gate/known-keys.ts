import type { Caller, Verdict } from "../ports.ts";
import { BoundedMap } from "./bounded-map.ts";

/** A key that the API server called good. */
export interface KnownKey {
  readonly text: string;
  readonly ref: string;
  readonly digest: string;
  readonly verdict: Verdict<Caller>;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** When the API server said so, in ms of the gate's clock. */
  readonly checkedAt: number;
  /** Its verdict may be given without asking. */
  current: boolean;
  /** It was presented since it was last looked at. */
  used: boolean;
}

/** What a sweep found. */
export interface SweptKeys {
  /** References of keys that have expired, and are forgotten. */
  readonly expired: readonly string[];
  /** Keys to be asked about. */
  readonly ask: readonly KnownKey[];
}

/**
 * Good keys by their whole text, so that one that is known costs a Map look-up: no hash, no clock. A sweep, once a
 * second, does what the look-up leaves out: expiry, and asking again about keys in use.
 */
export class KnownKeys {
  readonly #byText: BoundedMap<string, KnownKey>;
  readonly #textByRef = new Map<string, string>();

  constructor(sizeMax: number) {
    this.#byText = new BoundedMap(sizeMax, (evicted) => this.#textByRef.delete(evicted.ref));
  }

  get size(): number {
    return this.#byText.size;
  }

  find(text: string): KnownKey | undefined {
    return this.#byText.get(text);
  }

  put(key: KnownKey): void {
    // One reference has one secret: a second text under it replaces the first.
    this.forget(key.ref);
    this.#byText.set(key.text, key);
    this.#textByRef.set(key.ref, key.text);
  }

  forget(ref: string): void {
    const text = this.#textByRef.get(ref);
    if (text === undefined) return;
    this.#textByRef.delete(ref);
    this.#byText.delete(text);
  }

  clear(): void {
    this.#byText.clear();
    this.#textByRef.clear();
  }

  /**
   * Drops what has expired. Of the rest that was checked before `staleBefore`, keys in use are returned, to be asked
   * about while they stay good, and the others marked: their next use asks first.
   *
   * @param askMax how many to return at most; the rest has its turn at the next sweep
   */
  sweep(wallNow: number, staleBefore: number, askMax: number): SweptKeys {
    const expired: string[] = [];
    const ask: KnownKey[] = [];
    for (const [, key] of this.#byText.entries()) {
      if (key.expiresAt <= wallNow) {
        this.forget(key.ref);
        expired.push(key.ref);
      } else if (key.checkedAt <= staleBefore) {
        if (!key.used) key.current = false;
        else if (ask.length < askMax) ask.push(key);
      }
    }
    return { expired, ask };
  }
}
