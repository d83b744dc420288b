import { type HashAlgorithm, isHashAlgorithm, isObject } from "../../../src/access-proxy/index.ts";
import type { Json } from "../wire/json-http.ts";
import { invalidGrant, invalidRequest } from "../wire/oauth-error.ts";
import { audienceOf, isExpired, readJwt, textOf, timeOf, verifies } from "../wire/signed-jwt.ts";
import type { IdpContext } from "./context.ts";
import type { Ta } from "./directory.ts";

/** A referral that was checked. */
export interface Referral {
  /** The whole compact text. */
  readonly text: string;
  readonly fromTa: Ta;
  readonly toTa: Ta;
  /** Account hashes by tag. */
  readonly relatedUsers: Json;
  readonly hashAlg: HashAlgorithm;
}

/**
 * Reads and checks the referral of a coop-from request: rows F13 and F14.
 *
 * @throws OAuthError 400 `invalid_request` or `invalid_grant`
 */
export async function readReferral(value: unknown, context: IdpContext): Promise<Referral> {
  const { directory, issuer: ownId, keys, wallNow } = context;
  if (typeof value !== "string" || value === "") throw invalidRequest("referral is missing");
  const jwt = readJwt(value);
  if (jwt === null) throw invalidGrant("referral is no JWT");
  const { claims } = jwt;
  const issuer = textOf(claims, "iss");
  const from = textOf(claims, "sub");
  const to = textOf(claims, "to_client");
  const hashAlg = textOf(claims, "hash_alg");
  const exp = timeOf(claims, "exp");
  const relatedUsers = claims["related_users"];
  if (issuer === null || from === null || to === null || exp === null) {
    throw invalidGrant("referral lacks a claim");
  }
  if (textOf(claims, "jti") === null || hashAlg === null || !isObject(relatedUsers)) {
    throw invalidGrant("referral lacks a claim");
  }
  const idp = directory.idp(issuer);
  if (idp === undefined) throw invalidGrant("referral is of an unknown ID provider");
  if (!audienceOf(claims).includes(ownId)) throw invalidGrant("referral is for others");
  if (isExpired(exp, wallNow())) throw invalidGrant("referral has expired");
  if (from === to) throw invalidGrant("referral names one TA twice");
  if (!(await verifies(jwt, await keys.of(idp)))) throw invalidGrant("referral does not verify");
  if (!isHashAlgorithm(hashAlg)) throw invalidGrant("hash_alg of the referral is not supported");
  const fromTa = directory.ta(from);
  const toTa = directory.ta(to);
  if (fromTa === undefined || toTa === undefined) throw invalidGrant("referral names unknown TAs");
  return { text: value, fromTa, toTa, relatedUsers, hashAlg };
}
