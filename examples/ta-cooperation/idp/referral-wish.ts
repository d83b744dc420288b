import {
  type HashAlgorithm,
  halfHashLength,
  isHashAlgorithm,
  isObject,
} from "../../../src/access-proxy/index.ts";
import type { Json } from "../wire/json-http.ts";
import { invalidRequest } from "../wire/oauth-error.ts";
import { textOf } from "../wire/signed-jwt.ts";
import type { IdpContext } from "./context.ts";

/** What a referral is asked for with. */
export interface ReferralWish {
  /** Account hashes by tag. */
  readonly relatedUsers: Json;
  readonly relatedIssuers: readonly string[];
  readonly hashAlg: HashAlgorithm;
}

/** `related_users` before it is checked, for the sake of its tags; empty where it is no object. */
export function readRelatedUsers(request: Json): Json {
  const value = request["related_users"];
  return isObject(value) ? value : {};
}

const BASE64URL = /^[A-Za-z0-9_-]+$/;

/**
 * Row F12.
 *
 * @throws OAuthError 400 `invalid_request`
 */
export function readReferralWish(request: Json, { directory }: IdpContext): ReferralWish {
  const hashAlg = textOf(request, "hash_alg") ?? "";
  if (!isHashAlgorithm(hashAlg)) throw invalidRequest("hash_alg is missing or not supported");
  const relatedUsers = readRelatedUsers(request);
  const hashes = Object.values(relatedUsers);
  if (hashes.length === 0) throw invalidRequest("related_users is missing");
  for (const hash of hashes) {
    const isHash = typeof hash === "string" && BASE64URL.test(hash);
    if (!isHash || hash.length !== halfHashLength(hashAlg)) {
      throw invalidRequest("related_users has a value that is no hash");
    }
  }
  const issuers: unknown = request["related_issuers"];
  if (!Array.isArray(issuers) || issuers.length === 0) {
    throw invalidRequest("related_issuers is missing");
  }
  const relatedIssuers: string[] = [];
  for (const issuer of issuers as unknown[]) {
    if (typeof issuer !== "string" || directory.idp(issuer) === undefined) {
      throw invalidRequest("related_issuers names an unknown ID provider");
    }
    relatedIssuers.push(issuer);
  }
  return { relatedUsers, relatedIssuers, hashAlg };
}
