import { compactVerify, decodeProtectedHeader, importJWK, type JWK } from "jose";
import { isSigningAlgorithm } from "../core/signing-algorithms.ts";
import { chooseKey } from "./key-choice.ts";
import { decodePart } from "./unsigned-jwt.ts";

/** What a code token of one ID provider must say. */
export interface CodeTokenWish {
  readonly issuer: string;
  readonly toTaId: string;
  /** The principal's tag, of the main ID provider; null of the others, whose tokens have none. */
  readonly userTag: string | null;
  /** Tags of the accounts that were asked for. */
  readonly userTags: readonly string[];
  /** Hash of the referral; null where there is none. */
  readonly refHash: string | null;
}

/** It becomes a line of a head: nothing but what compact JWTs are made of. */
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

function hasAudience(aud: unknown, wanted: string): boolean {
  return aud === wanted || (Array.isArray(aud) && aud.includes(wanted));
}

function sameTags(claim: unknown, wanted: readonly string[]): boolean {
  const tags: unknown = claim ?? [];
  if (!Array.isArray(tags) || tags.length !== wanted.length) return false;
  return new Set(tags).size === tags.length && wanted.every((tag) => tags.includes(tag));
}

/**
 * Checks a code token before it goes to the target. The algorithm must be one that signs; the signature is checked where `keys`
 * are given.
 *
 * @returns what is wrong, or null
 * @see TA cooperation, sections 4.4 and 4.5
 */
export async function codeTokenFault(
  text: string,
  wish: CodeTokenWish,
  keys: readonly JWK[] | null,
): Promise<string | null> {
  const claims = COMPACT.test(text) ? decodePart(text.split(".")[1] ?? "") : null;
  const header = claims === null ? null : headerOf(text);
  if (claims === null || header === null) return "form";
  const { alg, kid } = header;
  if (!isSigningAlgorithm(alg)) return "alg";
  if (claims["iss"] !== wish.issuer) return "iss";
  if (!hasAudience(claims["aud"], wish.toTaId)) return "aud";
  if (typeof claims["sub"] !== "string" || claims["sub"] === "") return "sub";
  if ((claims["user_tag"] ?? null) !== wish.userTag) return "user_tag";
  if (!sameTags(claims["user_tags"], wish.userTags)) return "user_tags";
  if (wish.refHash !== null && claims["ref_hash"] !== wish.refHash) return "ref_hash";
  if (keys === null) return null;
  const key = chooseKey(keys, { alg, kid, operation: "verify" });
  if (key === undefined) return "key";
  try {
    await compactVerify(text, await importJWK(key, alg), { algorithms: [alg] });
    return null;
  } catch {
    return "signature";
  }
}

function headerOf(text: string): { alg?: string; kid?: string } | null {
  try {
    const { alg, kid } = decodeProtectedHeader(text);
    return {
      ...(typeof alg === "string" ? { alg } : {}),
      ...(typeof kid === "string" ? { kid } : {}),
    };
  } catch {
    return null;
  }
}
