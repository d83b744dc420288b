import assert from "node:assert/strict";
import test from "node:test";
import {
  BOB,
  FROM_TA,
  IDP_A,
  IDP_B,
  newSigner,
  TO_TA,
} from "../../../examples/ta-cooperation/stack.ts";
import type { Json } from "../../../examples/ta-cooperation/wire/json-http.ts";
import { signJwt } from "../../../examples/ta-cooperation/wire/signed-jwt.ts";
import { accountHash, referralHash, writeUnsignedJwt } from "../../../src/access-proxy/index.ts";
import {
  type Answered,
  assertion,
  mainRequest,
  type Parties,
  post,
  START_MS,
  startParties,
} from "../../support/ta-cooperation/parties.ts";
import {
  assertRefused,
  claimsOf,
  OBSERVER_HASH,
  REFERRAL_WISH,
  referralClaims,
  subRequest,
} from "../../support/ta-cooperation/referrals.ts";

const OTHER_TA = "https://other.example";
const START_S = START_MS / 1_000;

async function askSub(parties: Parties, referral: Json = {}, change: Json = {}): Promise<Answered> {
  return post(parties.idpB.coopFromUrl, await subRequest(parties, referral, change));
}

test("coop-from: a sub ID provider's code token has the tags and the referral's hash", async (t) => {
  const parties = await startParties(t);
  const { referral } = (
    await post(parties.idpA.coopFromUrl, await mainRequest(parties, REFERRAL_WISH))
  ).body;
  const { status, body } = await askSub(parties, {}, { referral });
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(body), ["code_token"]);
  const { sub, ...claims } = claimsOf(body["code_token"]);
  assert.match(String(sub), /^[\w-]{30}$/);
  assert.deepEqual(claims, {
    iss: IDP_B,
    aud: TO_TA,
    from_client: FROM_TA,
    user_tags: ["observer"],
    ref_hash: referralHash("SHA256", String(referral)),
  });
});

test("coop-from F2: with a referral, response_type is code_token alone", async (t) => {
  const parties = await startParties(t);
  for (const wanted of ["code_token referral", "referral"]) {
    assertRefused(await askSub(parties, {}, { response_type: wanted }), "400 invalid_request");
  }
});

test("coop-from F4: the assertion with a referral is of the TA that the referral names", async (t) => {
  const parties = await startParties(t);
  const { signers, idpB } = parties;
  const ofTarget = await assertion(parties, signers.to, TO_TA, idpB.coopFromUrl);
  assertRefused(await askSub(parties, {}, { client_assertion: ofTarget }), "400 invalid_client");
});

test("coop-from F13: a referral and accounts are there", async (t) => {
  const parties = await startParties(t);
  const changes = [
    { referral: undefined },
    { referral: "" },
    { users: undefined },
    { users: {} },
    { users: [BOB] },
  ];
  for (const change of changes) {
    assertRefused(await askSub(parties, {}, change), "400 invalid_request", /is missing/);
  }
});

test("coop-from F13: a referral says all it must, is for this ID provider, still good and signed", async (t) => {
  const parties = await startParties(t);
  for (const name of ["iss", "sub", "exp", "jti", "to_client", "related_users", "hash_alg"]) {
    const answer = await askSub(parties, { [name]: undefined });
    assertRefused(answer, "400 invalid_grant", /lacks a claim/);
  }
  const changes: Json[] = [
    { aud: undefined },
    { iss: "https://idp-c.example" },
    { iss: IDP_B },
    { aud: [IDP_A] },
    { exp: START_S - 31 },
    { to_client: FROM_TA },
    { hash_alg: "MD5" },
    { related_users: [OBSERVER_HASH] },
  ];
  for (const change of changes) {
    assertRefused(await askSub(parties, change), "400 invalid_grant", /referral/);
  }
  const { idpB, from } = parties.signers;
  const texts = [
    "x.y.z",
    writeUnsignedJwt(referralClaims()),
    await signJwt(referralClaims(), idpB),
    await signJwt(referralClaims(), from),
    await signJwt(referralClaims(), await newSigner("idp-a-1")),
  ];
  for (const referral of texts) {
    assertRefused(
      await askSub(parties, {}, { referral }),
      "400 invalid_grant",
      /does not verify|no JWT/,
    );
  }
  const oneAudience = { aud: IDP_B, exp: START_S - 30 };
  assert.equal((await askSub(parties, oneAudience)).status, 200);
});

test("coop-from F14: both TAs of the referral are known", async (t) => {
  const parties = await startParties(t);
  for (const change of [{ sub: OTHER_TA }, { to_client: OTHER_TA }]) {
    assertRefused(await askSub(parties, change), "400 invalid_grant", /unknown TAs/);
  }
});

test("coop-from F15: the referral vouches for each account by its hash", async (t) => {
  const parties = await startParties(t);
  parties.idpB.directory.addAccount({ id: "u-2003", attributes: {} });
  const users = [
    { observer: "u-2003" },
    { other: BOB },
    { observer: BOB, other: "u-2003" },
    JSON.parse('{"__proto__":"u-2002"}'),
  ];
  for (const named of users) {
    assertRefused(await askSub(parties, {}, { users: named }), "400 invalid_grant", /vouch/);
  }
  const foreign = { related_users: { observer: accountHash("SHA256", IDP_A, BOB) } };
  assertRefused(await askSub(parties, foreign), "400 invalid_grant", /vouch/);
  assert.equal((await askSub(parties)).status, 200);
});

test("coop-from F10: an account that the referral vouches for is there", async (t) => {
  const parties = await startParties(t);
  const related = { ghost: accountHash("SHA256", IDP_B, "u-9999") };
  const answer = await askSub(parties, { related_users: related }, { users: { ghost: "u-9999" } });
  assertRefused(answer, "400 invalid_request");
});
