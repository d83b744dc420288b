import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from "jose";
import type { SigningAlgorithm } from "../key-choice.ts";

/** A new pair of keys as JWKs with `kid`, `alg` and `use`. */
export interface NewKey {
  readonly kid: string;
  readonly privateJwk: JWK;
  readonly publicJwk: JWK;
}

/**
 * Makes a pair of keys; RSA ones have 3,072 bits.
 *
 * @param kid null for the key's thumbprint of RFC 7638
 */
export async function newSigningKey(alg: SigningAlgorithm, kid: string | null): Promise<NewKey> {
  const pair = await generateKeyPair(alg, { extractable: true, modulusLength: 3_072 });
  const publicPart = await exportJWK(pair.publicKey);
  const id = kid ?? (await calculateJwkThumbprint(publicPart));
  const facts = { kid: id, alg, use: "sig" };
  return {
    kid: id,
    privateJwk: { ...(await exportJWK(pair.privateKey)), ...facts },
    publicJwk: { ...publicPart, ...facts },
  };
}
