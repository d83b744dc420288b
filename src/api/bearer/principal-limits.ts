import type { Passed, Principal, PrincipalGate, PrincipalKind } from "../ports.ts";

/** Requests a minute that one caller may make to the API, by what it is. `internal` is not counted. */
export type RequestRates = Readonly<Record<Exclude<PrincipalKind, "internal">, number>>;

export const REQUEST_RATES: RequestRates = {
  session: 1_200,
  key: 600,
  service: 600,
  device: 600,
};

/** How {@link PrincipalLimits} counts. */
export interface PrincipalLimitOptions {
  /** Milliseconds since 1970 in UTC. */
  readonly now: () => number;
  readonly rates?: RequestRates;
  /** Callers that are counted at a time; whoever was silent longest is forgotten first. */
  readonly callersMax?: number;
}

const CALLERS_MAX = 100_000;
const MINUTE_MS = 60_000;
const KEY_WARNING_MS = 14 * 24 * 60 * 60_000;

interface Bucket {
  readonly name: string;
  tokens: number;
  filledAt: number;
  isForgotten: boolean;
  /** Its neighbours in the order of the last request. */
  older: Bucket | null;
  newer: Bucket | null;
}

/**
 * One bucket a caller, by tenant and reference: it holds the requests of a minute, and is filled at that rate. A key that
 * ends within 14 days is told so in every answer.
 */
export class PrincipalLimits implements PrincipalGate {
  readonly #now: () => number;
  readonly #rates: RequestRates;
  readonly #callersMax: number;
  readonly #buckets = new Map<string, Bucket>();
  /** The same: who was let in a moment ago mostly comes as the same object, and needs no name. */
  readonly #byPrincipal = new WeakMap<Principal, Bucket>();
  /**
   * The caller that was silent longest, and the last one. A Map that holds this order is changed by each request, and its
   * dead tables keep alive what the collector would have dropped.
   */
  #oldest: Bucket | null = null;
  #newest: Bucket | null = null;

  constructor({ now, rates = REQUEST_RATES, callersMax = CALLERS_MAX }: PrincipalLimitOptions) {
    this.#now = now;
    this.#rates = rates;
    this.#callersMax = callersMax;
  }

  /** Callers that are counted. */
  get size(): number {
    return this.#buckets.size;
  }

  pass(principal: Principal): Passed {
    if (principal.kind === "internal") return UNCOUNTED;
    const now = this.#now();
    const perMinute = principal.requestsPerMinute ?? this.#rates[principal.kind];
    const bucket = this.#bucketOf(principal, perMinute, now);
    const taken = bucket.tokens >= 1;
    if (taken) bucket.tokens -= 1;
    return new Counted(perMinute, bucket.tokens, taken, keyWarning(principal, now));
  }

  #bucketOf(principal: Principal, perMinute: number, now: number): Bucket {
    let bucket = this.#byPrincipal.get(principal);
    if (bucket === undefined || bucket.isForgotten) {
      const name = `${principal.tenantId}\0${principal.kind}\0${principal.ref}`;
      bucket = this.#buckets.get(name) ?? this.#remember(name, perMinute, now);
      this.#byPrincipal.set(principal, bucket);
    }
    if (bucket !== this.#newest) this.#heardOf(bucket);
    // A clock that is set back fills nothing, and takes nothing away.
    const filled = (Math.max(0, now - bucket.filledAt) * perMinute) / MINUTE_MS;
    bucket.tokens = Math.min(perMinute, bucket.tokens + filled);
    bucket.filledAt = now;
    return bucket;
  }

  #remember(name: string, tokens: number, filledAt: number): Bucket {
    if (this.#buckets.size >= this.#callersMax && this.#oldest !== null) {
      this.#oldest.isForgotten = true;
      this.#buckets.delete(this.#oldest.name);
      this.#unlink(this.#oldest);
    }
    const bucket = { name, tokens, filledAt, isForgotten: false, older: null, newer: null };
    this.#buckets.set(name, bucket);
    return bucket;
  }

  #heardOf(bucket: Bucket): void {
    this.#unlink(bucket);
    bucket.older = this.#newest;
    if (this.#newest === null) this.#oldest = bucket;
    else this.#newest.newer = bucket;
    this.#newest = bucket;
  }

  /** Does nothing to one that is not linked. */
  #unlink(bucket: Bucket): void {
    const { older, newer } = bucket;
    if (older !== null) older.newer = newer;
    else if (this.#oldest === bucket) this.#oldest = newer;
    if (newer !== null) newer.older = older;
    else if (this.#newest === bucket) this.#newest = older;
    bucket.older = null;
    bucket.newer = null;
  }
}

/** When a key ends, where that is soon; "" for all else. */
function keyWarning({ kind, expiresAtMs }: Principal, now: number): string {
  if (kind !== "key" || expiresAtMs === undefined || expiresAtMs - now >= KEY_WARNING_MS) return "";
  return new Date(expiresAtMs).toISOString();
}

/** A request that was counted. */
class Counted implements Passed {
  readonly retryAfter: number;
  readonly #perMinute: number;
  readonly #remaining: number;
  /** Seconds until the bucket is full again. */
  readonly #reset: number;
  readonly #keyEnds: string;

  constructor(perMinute: number, tokens: number, taken: boolean, keyEnds: string) {
    const seconds = (wanted: number): number => Math.ceil((wanted * 60) / perMinute);
    this.retryAfter = taken ? 0 : Math.max(1, seconds(1 - tokens));
    this.#perMinute = perMinute;
    this.#remaining = Math.floor(tokens);
    this.#reset = seconds(perMinute - tokens);
    this.#keyEnds = keyEnds;
  }

  get lines(): string {
    const ends = this.#keyEnds === "" ? "" : `x-hawser-key-expires: ${this.#keyEnds}\r\n`;
    return `ratelimit-limit: ${this.#perMinute}\r\nratelimit-remaining: ${this.#remaining}\r\nratelimit-reset: ${this.#reset}\r\n${ends}`;
  }

  get headers(): Record<string, string> {
    return {
      "ratelimit-limit": String(this.#perMinute),
      "ratelimit-remaining": String(this.#remaining),
      "ratelimit-reset": String(this.#reset),
      ...(this.#keyEnds === "" ? {} : { "x-hawser-key-expires": this.#keyEnds }),
    };
  }
}

const UNCOUNTED: Passed = { headers: {}, lines: "", retryAfter: 0 };
