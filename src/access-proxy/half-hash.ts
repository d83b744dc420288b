import { hash } from "node:crypto";

/** The first half of a digest: how many bytes are kept, and the characters that they are written with. */
interface HalfHash {
  readonly digest: string;
  readonly bytes: number;
  readonly characters: number;
}

/** `hash_alg` of the protocol: case-sensitive, no hyphen. */
export type HashAlgorithm = "SHA256" | "SHA384" | "SHA512";

const ALGORITHMS: Readonly<Record<HashAlgorithm, HalfHash>> = {
  SHA256: { digest: "sha256", bytes: 16, characters: 22 },
  SHA384: { digest: "sha384", bytes: 24, characters: 32 },
  SHA512: { digest: "sha512", bytes: 32, characters: 43 },
};

export const HASH_ALGORITHMS = Object.keys(ALGORITHMS) as readonly HashAlgorithm[];

export function isHashAlgorithm(name: string): name is HashAlgorithm {
  return Object.hasOwn(ALGORITHMS, name);
}

/** How many characters a half hash of this algorithm has. */
export function halfHashLength(algorithm: HashAlgorithm): number {
  return ALGORITHMS[algorithm].characters;
}

/**
 * Base64url, without padding, of the first half of the digest.
 *
 * @see TA cooperation, section 3.3
 */
export function halfHash(algorithm: HashAlgorithm, input: string): string {
  const { digest, bytes } = ALGORITHMS[algorithm];
  return hash(digest, input, "buffer").subarray(0, bytes).toString("base64url");
}

/** What stands for an account of another ID provider, which the main one vouches for without learning it. */
export function accountHash(algorithm: HashAlgorithm, idpId: string, accountId: string): string {
  return halfHash(algorithm, `${idpId}\0${accountId}`);
}

/** What ties the code tokens of one call together. `referral` is the whole compact text. */
export function referralHash(algorithm: HashAlgorithm, referral: string): string {
  return halfHash(algorithm, referral);
}
