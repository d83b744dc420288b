import type { Caller, CallerLimit } from "../ports.ts";
import { BoundedMap } from "./bounded-map.ts";

/** What the API server said of a good key. */
export interface KeyFacts {
  readonly text: string;
  readonly ref: string;
  readonly digest: string;
  readonly userId: string;
  readonly tenantId: string;
  /** The devices that it is held to, null for all of its tenant. */
  readonly devices: ReadonlySet<string> | null;
  readonly limit: CallerLimit | null;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** When the API server said so, in ms of the gate's clock. */
  readonly checkedAt: number;
}

/**
 * A key that the API server called good: what is known of it, the verdict on it and its holder as a caller, who reaches the
 * devices of his tenant whose owner is known at the time of asking. All in one object: with thousands of keys in use,
 * each further one that a request looks at is not in the processor's cache.
 */
export class KnownKey implements Caller {
  // What a request looks at comes first, and so lies together.
  /** Its verdict may be given without asking. */
  current = true;
  /** It was presented since the API server was asked. */
  used = false;
  readonly ok = true;
  readonly limit: CallerLimit | null;
  readonly #devices: ReadonlySet<string> | null;
  readonly #tenantOf: (deviceId: string) => string | null;
  readonly #tenantId: string;
  readonly keyId: string;
  readonly checkedAt: number;
  readonly expiresAt: number;
  readonly text: string;
  readonly digest: string;
  readonly userId: string;

  /** @param tenantOf the tenant of a device, null where that is not known */
  constructor(facts: KeyFacts, tenantOf: (deviceId: string) => string | null) {
    this.limit = facts.limit;
    this.#devices = facts.devices;
    this.#tenantOf = tenantOf;
    this.#tenantId = facts.tenantId;
    this.keyId = facts.ref;
    this.checkedAt = facts.checkedAt;
    this.expiresAt = facts.expiresAt;
    // A copy: what came with a request is a slice of its field, and would keep that.
    this.text = Buffer.from(facts.text, "latin1").toString("latin1");
    this.digest = facts.digest;
    this.userId = facts.userId;
  }

  /** As a verdict: the caller. */
  get value(): Caller {
    return this;
  }

  allows(deviceId: string): boolean {
    if (this.#devices !== null && !this.#devices.has(deviceId)) return false;
    return this.#tenantOf(deviceId) === this.#tenantId;
  }
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
    this.#byText = new BoundedMap(sizeMax, (evicted) => this.#textByRef.delete(evicted.keyId));
  }

  get size(): number {
    return this.#byText.size;
  }

  find(text: string): KnownKey | undefined {
    return this.#byText.get(text);
  }

  put(key: KnownKey): void {
    // One reference has one secret: a second text under it replaces the first.
    this.forget(key.keyId);
    this.#byText.set(key.text, key);
    this.#textByRef.set(key.keyId, key.text);
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
        this.forget(key.keyId);
        expired.push(key.keyId);
      } else if (key.checkedAt <= staleBefore) {
        if (!key.used) key.current = false;
        else if (ask.length < askMax) ask.push(key);
      }
    }
    return { expired, ask };
  }
}
