/** The algorithms that JWTs of TA cooperation are signed and checked with: asymmetric ones alone. RFC 7518, section 3.1. */
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
