import type { JWK } from "jose";
import { readKeys } from "../../../src/access-proxy/index.ts";
import { getJson } from "./json-http.ts";

/** Where the public keys of a party are: here, or at an address. */
export interface KeySource {
  readonly jwks?: readonly JWK[];
  readonly jwksUri?: string;
}

interface Fetched {
  readonly keys: readonly JWK[];
  readonly goodUntilMs: number;
}

/** How long a fetched key set is good. */
const CACHE_MS = 3_600_000;

/** Public keys of other parties, fetched when they are first needed. As many sets as there are parties. */
export class PartyKeys {
  readonly #fetched = new Map<string, Fetched>();
  readonly #wallNow: () => number;

  /** @param wallNow milliseconds since 1970 */
  constructor(wallNow: () => number) {
    this.#wallNow = wallNow;
  }

  /** The keys; none where they cannot be had, so that nothing verifies. */
  async of({ jwks, jwksUri }: KeySource): Promise<readonly JWK[]> {
    if (jwks !== undefined) return jwks;
    if (jwksUri === undefined) return [];
    const there = this.#fetched.get(jwksUri);
    if (there !== undefined && there.goodUntilMs > this.#wallNow()) return there.keys;
    try {
      const { status, body } = await getJson(jwksUri);
      if (status !== 200) return [];
      const keys = readKeys(body);
      this.#fetched.set(jwksUri, { keys, goodUntilMs: this.#wallNow() + CACHE_MS });
      return keys;
    } catch {
      return [];
    }
  }
}
