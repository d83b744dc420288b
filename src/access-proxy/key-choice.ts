import type { JWK } from "jose";

/** The algorithms that JWTs are signed and checked with: asymmetric ones alone. */
export const SIGNING_ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
] as const;

export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

export function isSigningAlgorithm(name: unknown): name is SigningAlgorithm {
  return (SIGNING_ALGORITHMS as readonly unknown[]).includes(name);
}

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
