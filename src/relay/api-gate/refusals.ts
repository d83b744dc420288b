import type { Clock } from "../../core/clock.ts";
import { BoundedMap } from "./bounded-map.ts";
import type { Refusal } from "./verdicts.ts";

interface Entry {
  readonly refusal: Refusal;
  readonly until: number;
}

/** What the API server refused a moment ago, so that whoever insists costs it nothing. */
export class Refusals {
  readonly #clock: Clock;
  readonly #keepMs: number;
  readonly #entries: BoundedMap<string, Entry>;

  constructor(clock: Clock, sizeMax: number, keepMs: number) {
    this.#clock = clock;
    this.#keepMs = keepMs;
    this.#entries = new BoundedMap(sizeMax);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The refusal of a secret or a device, null where there is none or it is too old. */
  find(name: string): Refusal | null {
    const entry = this.#entries.get(name);
    if (entry === undefined) return null;
    if (entry.until > this.#clock.now()) return entry.refusal;
    this.#entries.delete(name);
    return null;
  }

  /** Remembers a refusal, and returns it. One for a limit is the moment's and is not remembered. */
  add(name: string, refusal: Refusal): Refusal {
    if (refusal.status !== 429) {
      this.#entries.set(name, { refusal, until: this.#clock.now() + this.#keepMs });
    }
    return refusal;
  }

  clear(): void {
    this.#entries.clear();
  }
}

/** What a secret is remembered by. */
export function secretName(ref: string, digest: string): string {
  return `${ref}.${digest}`;
}
