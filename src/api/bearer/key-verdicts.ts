import { parseToken } from "../../core/token.ts";
import type { Later } from "../later.ts";
import type { AuthVerdict, Principal } from "../ports.ts";
import { type CurrentApiKey, findApiKey, type Store, type TokenDigest } from "../store/index.ts";
import { allowedScopes } from "./key-scopes.ts";

/** How long a good key is taken for good without a look into the database. */
export const VERDICT_MS = 1_000;
const VERDICTS_MAX = 10_000;

/** A key that is good, as it was at most {@link VERDICT_MS} ago. */
export interface KeyVerdict {
  /** Who it makes of a request. */
  readonly principal: Principal;
  /** The same as whoever asked wants it. */
  readonly accepted: AuthVerdict;
  readonly expiresAt: number;
  readonly foundAt: number;
  readonly epoch: number;
  /** Kept up by whoever writes it down. */
  lastUsedAt: number | null;
}

/**
 * Good keys of the last second. A look-up costs 150 µs and more of processor time, several times what a small request costs
 * otherwise; a harness that calls a thousand times a second pays it once.
 *
 * What this process changes of keys, users and tenants ({@link Store.credentialEpoch}) is seen by the next request, a
 * look-up under way included. What another process changes is seen after {@link VERDICT_MS}. A refusal is never kept.
 */
export class KeyVerdicts {
  readonly #store: Store;
  readonly #verdictsMax: number;
  /** By the whole text of the key, in the order in which they were found: a known one costs no hash. */
  readonly #verdicts = new Map<string, KeyVerdict>();

  constructor(store: Store, verdictsMax = VERDICTS_MAX) {
    this.#store = store;
    this.#verdictsMax = verdictsMax;
  }

  get size(): number {
    return this.#verdicts.size;
  }

  /** Null for a key that is not good, and for a text that is none, without a word why. Rejects where the database cannot be asked. */
  find(text: string): Later<KeyVerdict | null> {
    const known = this.#verdicts.get(text);
    if (known !== undefined) {
      if (this.#isCurrent(known)) return known;
      this.#verdicts.delete(text);
    }
    // Its length, alphabet and checksum are looked at before anything is asked.
    const parsed = parseToken(text);
    return parsed.ok && parsed.kind === "key" ? this.#lookUp(text, parsed) : null;
  }

  async #lookUp(text: string, { ref, secretDigest }: TokenDigest): Promise<KeyVerdict | null> {
    const epoch = this.#store.credentialEpoch;
    const foundAt = this.#store.now();
    const key = await findApiKey(this.#store, { ref, secretDigest });
    if (key === null) return null;
    const { expiresAt, lastUsedAt } = key;
    const principal = principalOfKey(key);
    const accepted = { ok: true, principal } as const;
    const verdict = { principal, accepted, expiresAt, foundAt, epoch, lastUsedAt };
    if (epoch === this.#store.credentialEpoch) this.#keep(text, verdict);
    return verdict;
  }

  #isCurrent({ expiresAt, foundAt, epoch }: KeyVerdict): boolean {
    const now = this.#store.now();
    // A clock that is set back makes nothing last longer.
    const isFresh = now >= foundAt && now - foundAt < VERDICT_MS;
    return isFresh && epoch === this.#store.credentialEpoch && expiresAt > now;
  }

  #keep(text: string, verdict: KeyVerdict): void {
    this.#verdicts.delete(text);
    this.#verdicts.set(text, verdict);
    if (this.#verdicts.size <= this.#verdictsMax) return;
    for (const oldest of this.#verdicts.keys()) {
      this.#verdicts.delete(oldest);
      return;
    }
  }
}

/** A key may do what it was given, as far as its owner may do it now. */
function principalOfKey(key: CurrentApiKey): Principal {
  return {
    kind: "key",
    ref: key.ref,
    tenantId: key.tenant,
    userId: key.ownerId,
    role: key.ownerRole,
    scopes: allowedScopes(key.scopes, key.ownerRole),
    expiresAtMs: key.expiresAt,
    ...(key.devices === null ? {} : { devices: new Set(key.devices) }),
    ...(key.requestsPerMinute === null ? {} : { requestsPerMinute: key.requestsPerMinute }),
  };
}
