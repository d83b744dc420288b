import assert from "node:assert/strict";
import { BOB, FROM_TA, IDP_A, IDP_B, TO_TA } from "../../../examples/ta-cooperation/stack.ts";
import type { Json } from "../../../examples/ta-cooperation/wire/json-http.ts";
import { readJwt, signJwt } from "../../../examples/ta-cooperation/wire/signed-jwt.ts";
import { accountHash, CLIENT_ASSERTION_TYPE } from "../../../src/access-proxy/index.ts";
import { type Answered, assertion, type Parties, START_MS } from "./parties.ts";

const START_S = START_MS / 1_000;
export const OBSERVER_HASH = accountHash("SHA256", IDP_B, BOB);

/** What is added to a request to the main ID provider for a referral. */
export const REFERRAL_WISH = {
  response_type: "code_token referral",
  related_users: { observer: OBSERVER_HASH },
  hash_alg: "SHA256",
  related_issuers: [IDP_B],
};

/** The claims of a JWT that must be one. */
export function claimsOf(text: unknown): Json {
  const jwt = readJwt(text);
  assert.ok(jwt !== null);
  return jwt.claims;
}

/**
 * An ID provider's refusal, which nobody may keep.
 *
 * @param expected `400 invalid_request`
 * @param told what the description must say: rows share codes
 */
export function assertRefused(
  { status, headers, body }: Answered,
  expected: string,
  told = /\w/,
): void {
  assert.equal(`${status} ${body["error"]}`, expected, String(body["error_description"]));
  assert.equal(headers.get("cache-control"), "no-store");
  assert.equal(headers.get("pragma"), "no-cache");
  assert.match(String(body["error_description"]), told);
}

/** Claims of a referral of ID provider A for B, changed; undefined leaves one out. */
export function referralClaims(change: Json = {}): Json {
  const claims = {
    iss: IDP_A,
    sub: FROM_TA,
    aud: [IDP_B],
    exp: START_S + 600,
    jti: "r7UoE2hNs6VbQx1iZk4t",
    to_client: TO_TA,
    related_users: { observer: OBSERVER_HASH },
    hash_alg: "SHA256",
    ...change,
  };
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
}

/** A coop-from request to the sub ID provider, B, with a referral that A signed. */
export async function subRequest(
  parties: Parties,
  referral: Json = {},
  change: Json = {},
): Promise<Json> {
  const { idpB, signers } = parties;
  return {
    response_type: "code_token",
    grant_type: "referral",
    referral: await signJwt(referralClaims(referral), signers.idpA),
    users: { observer: BOB },
    client_assertion_type: CLIENT_ASSERTION_TYPE,
    client_assertion: await assertion(parties, signers.from, FROM_TA, idpB.coopFromUrl),
    ...change,
  };
}
