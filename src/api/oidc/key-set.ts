import {
  createLocalJWKSet,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyOptions,
  type JWTVerifyResult,
  jwtVerify,
} from "jose";
import type { Clock } from "../../core/clock.ts";
import { OidcError } from "./errors.ts";

/** Age up to which keys are used without asking. */
const FRESH_MS = 600_000;
/** Age up to which they are used while the provider does not give newer ones. */
const STALE_MS = 3_600_000;
/** Least time between two fetches that an unknown `kid` causes, and after one that failed. */
export const RELOAD_INTERVAL_MS = 5_000;

interface Loaded {
  readonly find: ReturnType<typeof createLocalJWKSet>;
  readonly atMs: number;
}

/**
 * The signing keys of one provider. An unknown `kid` makes it fetch once more, at most every 5 s however many tokens
 * name one, so that a rotation is seen at once and a flood costs the provider nothing.
 *
 * @see OpenID Connect Core 1.0, section 10.1.1
 */
export class KeySet {
  readonly #fetchKeys: () => Promise<unknown>;
  readonly #clock: Clock;
  #loaded: Loaded | null = null;
  #loading: Promise<Loaded> | null = null;
  #forcedAtMs = Number.NEGATIVE_INFINITY;
  #failure: { readonly error: unknown; readonly atMs: number } | null = null;

  /** @param fetchKeys gets the document of `jwks_uri` */
  constructor(fetchKeys: () => Promise<unknown>, clock: Clock) {
    this.#fetchKeys = fetchKeys;
    this.#clock = clock;
  }

  /**
   * Verifies signature and registered claims of a JWT. Only keys of this set are tried; `jwk`, `jku` and `x5u` of the
   * header are not looked at. Errors are those of jose, and of fetching the keys.
   */
  async verify(token: string, options: JWTVerifyOptions): Promise<JWTVerifyResult<JWTPayload>> {
    const loaded = await this.#current();
    try {
      return await jwtVerify(token, loaded.find, options);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      const newer = await this.#newerThan(loaded);
      if (newer === loaded) throw error;
      return await jwtVerify(token, newer.find, options);
    }
  }

  /** The keys to begin with. */
  async #current(): Promise<Loaded> {
    const now = this.#clock.now();
    const loaded = this.#loaded;
    if (loaded !== null && now - loaded.atMs < FRESH_MS) return loaded;
    try {
      if (this.#failure !== null && now - this.#failure.atMs < RELOAD_INTERVAL_MS) {
        throw this.#failure.error;
      }
      return await this.#load();
    } catch (error) {
      if (loaded !== null && now - loaded.atMs < STALE_MS) return loaded;
      throw error;
    }
  }

  /** What came after `loaded`; itself where there is nothing newer and nothing may be fetched now. */
  async #newerThan(loaded: Loaded): Promise<Loaded> {
    if (this.#loaded !== null && this.#loaded !== loaded) return this.#loaded;
    const now = this.#clock.now();
    if (this.#loading === null) {
      if (now - this.#forcedAtMs < RELOAD_INTERVAL_MS) return loaded;
      this.#forcedAtMs = now;
    }
    return await this.#load();
  }

  #load(): Promise<Loaded> {
    this.#loading ??= this.#fetch().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  async #fetch(): Promise<Loaded> {
    try {
      const document = await this.#fetchKeys();
      const loaded = { find: createLocalJWKSet(asKeySet(document)), atMs: this.#clock.now() };
      this.#loaded = loaded;
      this.#failure = null;
      return loaded;
    } catch (error) {
      this.#failure = { error, atMs: this.#clock.now() };
      throw error;
    }
  }
}

/** Takes the asymmetric keys out of a JWK set document. RFC 7517, section 5. */
function asKeySet(document: unknown): JSONWebKeySet {
  const keys: unknown =
    typeof document === "object" && document !== null && "keys" in document ? document.keys : null;
  if (!Array.isArray(keys)) throw new OidcError("ERR_OIDC_IDP_RESPONSE", "jwks");
  return { keys: keys.filter(isPublicKey) };
}

function isPublicKey(key: unknown): key is JSONWebKeySet["keys"][number] {
  if (typeof key !== "object" || key === null || !("kty" in key)) return false;
  return key.kty === "RSA" || key.kty === "EC" || key.kty === "OKP";
}
