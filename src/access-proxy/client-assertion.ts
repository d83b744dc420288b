import { importJWK, type JWK, SignJWT } from "jose";
import type { SigningAlgorithm } from "../core/signing-algorithms.ts";
import { AccessProxyError } from "./errors.ts";
import { chooseKey } from "./key-choice.ts";
import type { KeyStore } from "./ports.ts";
import { randomString } from "./random-string.ts";

/** `client_assertion_type` of each request to an ID provider. RFC 7523, section 2.2. */
export const CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

export interface ClientAssertionsOptions {
  readonly selfId: string;
  readonly alg: SigningAlgorithm;
  /** Empty where none is configured: the header has no `kid` then. */
  readonly kid: string;
  readonly jtiLength: number;
  /** How long an assertion is good. */
  readonly lifetimeMs: number;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

/**
 * Proofs of who this TA is, one for each request to an ID provider.
 *
 * @see TA cooperation, section 3.6; RFC 7523
 */
export class ClientAssertions {
  readonly #keys: KeyStore;
  readonly #options: ClientAssertionsOptions;
  /** The imported form of keys that were used; a key that is replaced is forgotten with its object. */
  readonly #imported = new WeakMap<JWK, ReturnType<typeof importJWK>>();

  constructor(keys: KeyStore, options: ClientAssertionsOptions) {
    this.#keys = keys;
    this.#options = options;
  }

  /**
   * A new assertion for one request.
   *
   * @param audience URL of the endpoint, exactly as it is called
   * @throws AccessProxyError row E16
   */
  async sign(audience: string): Promise<string> {
    const { selfId, alg, kid, jtiLength, lifetimeMs, wallNow } = this.#options;
    try {
      const key = await this.#key();
      const now = Math.floor(wallNow() / 1_000);
      return await new SignJWT({
        iss: selfId,
        sub: selfId,
        aud: audience,
        jti: randomString(jtiLength),
        exp: now + Math.round(lifetimeMs / 1_000),
        iat: now,
      })
        .setProtectedHeader(kid === "" ? { alg } : { alg, kid })
        .sign(key);
    } catch (cause) {
      throw new AccessProxyError("ERR_ACCESS_PROXY_SIGNING", [], { cause });
    }
  }

  async #key(): ReturnType<typeof importJWK> {
    const { alg, kid } = this.#options;
    const keys = await this.#keys.get();
    const jwk = chooseKey(keys, { alg, kid: kid === "" ? undefined : kid, operation: "sign" });
    if (jwk === undefined) throw new Error(`no key for ${alg}`);
    let imported = this.#imported.get(jwk);
    if (imported === undefined) {
      imported = importJWK(jwk, alg);
      this.#imported.set(jwk, imported);
    }
    return imported;
  }
}
