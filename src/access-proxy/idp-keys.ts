import type { JWK } from "jose";
import type { IdpClient } from "./idp-client.ts";
import type { IdpRecord } from "./ports.ts";
import { isObject } from "./unsigned-jwt.ts";

export interface IdpKeysOptions {
  /** How long a fetched key set is good. */
  readonly cacheMs: number;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

interface Fetched {
  readonly at: number;
  readonly keys: Promise<readonly JWK[]>;
}

/** A set whose key is missing is fetched anew, but no oftener than this. */
const RENEW_EVERY_MS = 60_000;

/** The public keys that a value holds: a bare array of JWKs, or a standard key set. */
export function readKeys(value: unknown): readonly JWK[] {
  const keys = isObject(value) ? value["keys"] : value;
  return Array.isArray(keys) ? (keys as unknown[]).filter(isObject).map((key) => key as JWK) : [];
}

/** Public keys of ID providers: those of their records, or fetched from where these say and remembered. */
export class IdpKeys {
  readonly #client: IdpClient;
  readonly #options: IdpKeysOptions;
  /** By URL: as many as there are ID providers. */
  readonly #fetched = new Map<string, Fetched>();

  constructor(client: IdpClient, options: IdpKeysOptions) {
    this.#client = client;
    this.#options = options;
  }

  /**
   * The keys, or null where the record names none: there is nothing to check signatures with then.
   *
   * @throws AccessProxyError rows E18 to E20
   */
  async of(idp: IdpRecord): Promise<readonly JWK[] | null> {
    if (idp.jwks !== null) return idp.jwks;
    if (idp.jwksUri === null) return null;
    const { cacheMs, now } = this.#options;
    const there = this.#fetched.get(idp.jwksUri);
    if (there !== undefined && now() - there.at < cacheMs) return there.keys;
    return this.#fetch(idp, idp.jwksUri);
  }

  /** Forgets a fetched set that lacks a key. False where there is none, or it is too new to ask again. */
  async renew(idp: IdpRecord): Promise<boolean> {
    if (idp.jwks !== null || idp.jwksUri === null) return false;
    const there = this.#fetched.get(idp.jwksUri);
    if (there !== undefined && this.#options.now() - there.at < RENEW_EVERY_MS) return false;
    await this.#fetch(idp, idp.jwksUri);
    return true;
  }

  async #fetch(idp: IdpRecord, url: string): Promise<readonly JWK[]> {
    const keys = this.#client.fetchKeys(idp, url).then(readKeys);
    const fetched = { at: this.#options.now(), keys };
    this.#fetched.set(url, fetched);
    try {
      return await keys;
    } catch (error) {
      if (this.#fetched.get(url) === fetched) this.#fetched.delete(url);
      throw error;
    }
  }
}
