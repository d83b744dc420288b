import { parseToken } from "../../core/token.ts";
import type { Caller, Verdict } from "../ports.ts";
import type { AuthorizeQueue } from "./authorize-queue.ts";
import { KeyLimits } from "./key-limits.ts";
import { KnownKey, KnownKeys } from "./known-keys.ts";
import type { ApiGateOptions } from "./options.ts";
import { type Refusals, secretName } from "./refusals.ts";
import { expiryOf, refusalOf, UNAUTHORIZED, unavailable } from "./verdicts.ts";

/** Keys in use that are asked about anew after one sweep. */
const ASKED_PER_SWEEP_MAX = 1_000;

/** Whose key it is that a request carries. */
export class KeyChecks {
  readonly #options: ApiGateOptions;
  readonly #queue: AuthorizeQueue;
  readonly #refusals: Refusals;
  readonly #tenantOf: (deviceId: string) => string | null;
  readonly #onEnded: (refs: readonly string[]) => void;
  readonly #keys: KnownKeys;
  readonly #limits: KeyLimits;
  /** Keys to be told of. */
  #ended: string[] = [];

  /**
   * @param tenantOf the tenant of a device, null where that is not known
   * @param onEnded hears the references of keys that were good and are so no longer
   */
  constructor(
    options: ApiGateOptions,
    queue: AuthorizeQueue,
    refusals: Refusals,
    tenantOf: (deviceId: string) => string | null,
    onEnded: (refs: readonly string[]) => void,
  ) {
    this.#options = options;
    this.#queue = queue;
    this.#refusals = refusals;
    this.#tenantOf = tenantOf;
    this.#onEnded = onEnded;
    this.#keys = new KnownKeys(options.cachedKeysMax);
    this.#limits = new KeyLimits(options.clock, options.cachedKeysMax);
  }

  get size(): number {
    return this.#keys.size;
  }

  /** The verdict on a key; of one that is known and current at once, after one Map look-up. */
  authenticate(text: string): Verdict<Caller> | Promise<Verdict<Caller>> {
    const known = this.#keys.find(text);
    if (known === undefined) return this.#verify(text);
    if (known.current) {
      known.used = true;
      return known;
    }
    return this.#queue.away ? known : this.#ask(text, known.keyId, known.digest);
  }

  forget(ref: string): void {
    this.#keys.forget(ref);
  }

  clear(): void {
    this.#keys.clear();
  }

  /** Drops expired keys, and asks about those in use whose answer is no longer fresh. Call once a second. */
  sweep(): void {
    const { clock, wallNow, recheckMs } = this.#options;
    const staleBefore = this.#queue.away ? Number.NEGATIVE_INFINITY : clock.now() - recheckMs;
    const { expired, ask } = this.#keys.sweep(wallNow(), staleBefore, ASKED_PER_SWEEP_MAX);
    for (const ref of expired) this.#tellEnded(ref);
    for (const key of ask) void this.#ask(key.text, key.keyId, key.digest);
  }

  #verify(text: string): Verdict<Caller> | Promise<Verdict<Caller>> {
    const parsed = parseToken(text);
    if (!parsed.ok || parsed.kind !== "key") return UNAUTHORIZED;
    const { ref, secretDigest: digest } = parsed;
    const refused = this.#refusals.find(secretName(ref, digest));
    if (refused !== null) return refused;
    if (this.#queue.away) return unavailable(this.#queue.retryAfterS);
    return this.#ask(text, ref, digest);
  }

  async #ask(text: string, ref: string, digest: string): Promise<Verdict<Caller>> {
    const outcome = await this.#queue.ask("keys", ref, digest);
    // What was known may have been forgotten meanwhile.
    const known = this.#keys.find(text);
    if (!outcome.answered) return known ?? unavailable(this.#queue.retryAfterS);
    const { reply } = outcome;
    if (!reply.ok) {
      const refusal = refusalOf(reply);
      if (known !== undefined && refusal.status !== 429) {
        this.#keys.forget(ref);
        this.#tellEnded(ref);
      }
      return this.#refusals.add(secretName(ref, digest), refusal);
    }
    const { user_id: userId, tenant_id: tenantId, devices } = reply;
    const key = new KnownKey(
      {
        text,
        ref,
        digest,
        userId,
        tenantId,
        devices: devices === undefined ? null : new Set(devices),
        limit: this.#limits.of(ref, reply.requests_per_minute),
        expiresAt: expiryOf(reply.expires_at),
        checkedAt: this.#options.clock.now(),
      },
      this.#tenantOf,
    );
    this.#keys.put(key);
    return key;
  }

  /** The keys of one answer are told of together: whoever hears it looks at all that runs. */
  #tellEnded(ref: string): void {
    if (this.#ended.push(ref) > 1) return;
    queueMicrotask(() => {
      const ended = this.#ended;
      this.#ended = [];
      this.#onEnded(ended);
    });
  }
}
