import type { JWK } from "jose";
import type { SigningAlgorithm } from "../core/signing-algorithms.ts";

const CURVES: Readonly<Record<string, string>> = {
  ES256: "P-256",
  ES384: "P-384",
  ES512: "P-521",
};

/** What a key is wanted for. */
export interface KeyWish {
  readonly alg: SigningAlgorithm;
  /** Undefined takes any. */
  readonly kid: string | undefined;
  readonly operation: "sign" | "verify";
}

function fits(key: JWK, { alg, kid, operation }: KeyWish): boolean {
  const curve = CURVES[alg];
  if (kid !== undefined && key.kid !== kid) return false;
  if (key.kty !== (curve === undefined ? "RSA" : "EC")) return false;
  if (curve !== undefined && key.crv !== curve) return false;
  if (key.alg !== undefined && key.alg !== alg) return false;
  if (key.use !== undefined && key.use !== "sig") return false;
  return key.key_ops === undefined || key.key_ops.includes(operation);
}

/**
 * The first key that may do what is wished.
 *
 * @see TA cooperation, section 3.1
 */
export function chooseKey(keys: readonly JWK[], wish: KeyWish): JWK | undefined {
  return keys.find((key) => fits(key, wish));
}
