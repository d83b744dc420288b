import type { Principal, PrincipalGate, PrincipalKind } from "../ports.ts";

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

  pass(principal: Principal): { headers: Record<string, string>; retryAfter: number } {
    if (principal.kind === "internal") return { headers: {}, retryAfter: 0 };
    const now = this.#now();
    const perMinute = principal.requestsPerMinute ?? this.#rates[principal.kind];
    const bucket = this.#bucketOf(principal, perMinute, now);
    const taken = bucket.tokens >= 1;
    if (taken) bucket.tokens -= 1;
    const seconds = (tokens: number): number => Math.ceil((tokens * 60) / perMinute);
    return {
      headers: {
        "ratelimit-limit": String(perMinute),
        "ratelimit-remaining": String(Math.floor(bucket.tokens)),
        // Until the bucket is full again.
        "ratelimit-reset": String(seconds(perMinute - bucket.tokens)),
        ...keyWarning(principal, now),
      },
      retryAfter: taken ? 0 : Math.max(1, seconds(1 - bucket.tokens)),
    };
  }

  #bucketOf({ tenantId, kind, ref }: Principal, perMinute: number, now: number): Bucket {
    const name = `${tenantId}\0${kind}\0${ref}`;
    const known = this.#buckets.get(name);
    const bucket = known ?? this.#remember(name, perMinute, now);
    if (bucket !== this.#newest) this.#heardOf(bucket);
    // A clock that is set back fills nothing, and takes nothing away.
    const filled = (Math.max(0, now - bucket.filledAt) * perMinute) / MINUTE_MS;
    bucket.tokens = Math.min(perMinute, bucket.tokens + filled);
    bucket.filledAt = now;
    return bucket;
  }

  #remember(name: string, tokens: number, filledAt: number): Bucket {
    if (this.#buckets.size >= this.#callersMax && this.#oldest !== null) {
      this.#buckets.delete(this.#oldest.name);
      this.#unlink(this.#oldest);
    }
    const bucket = { name, tokens, filledAt, older: null, newer: null };
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

function keyWarning({ kind, expiresAtMs }: Principal, now: number): Record<string, string> {
  if (kind !== "key" || expiresAtMs === undefined || expiresAtMs - now >= KEY_WARNING_MS) return {};
  return { "x-hawser-key-expires": new Date(expiresAtMs).toISOString() };
}
