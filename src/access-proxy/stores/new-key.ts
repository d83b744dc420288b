import { createPublicKey } from "node:crypto";
import { calculateJwkThumbprint, type JWK } from "jose";
import { type NewKeyKind, newPrivateKey } from "../../core/new-private-key.ts";
import type { SigningAlgorithm } from "../../core/signing-algorithms.ts";

/** A new pair of keys as JWKs with `kid`, `alg` and `use`. */
export interface NewKey {
  readonly kid: string;
  readonly privateJwk: JWK;
  readonly publicJwk: JWK;
}

function kindOf(alg: SigningAlgorithm): NewKeyKind {
  switch (alg) {
    case "ES256":
      return { type: "ec", curve: "P-256" };
    case "ES384":
      return { type: "ec", curve: "P-384" };
    case "ES512":
      return { type: "ec", curve: "P-521" };
    default:
      return { type: "rsa", bits: 3_072 };
  }
}

/**
 * Makes a pair of keys; RSA ones have 3,072 bits.
 *
 * @param kid null for the key's thumbprint of RFC 7638
 */
export async function newSigningKey(alg: SigningAlgorithm, kid: string | null): Promise<NewKey> {
  const privateKey = newPrivateKey(kindOf(alg));
  const publicPart = createPublicKey(privateKey).export({ format: "jwk" }) as JWK;
  const id = kid ?? (await calculateJwkThumbprint(publicPart));
  const facts = { kid: id, alg, use: "sig" };
  return {
    kid: id,
    privateJwk: { ...(privateKey.export({ format: "jwk" }) as JWK), ...facts },
    publicJwk: { ...publicPart, ...facts },
  };
}
