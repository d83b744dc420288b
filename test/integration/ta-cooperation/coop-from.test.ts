import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import {
  ALICE,
  BOB,
  CAROL,
  FROM_TA,
  IDP_A,
  IDP_B,
  newSigner,
  publicJwk,
  TO_TA,
} from "../../../examples/ta-cooperation/stack.ts";
import type { Json } from "../../../examples/ta-cooperation/wire/json-http.ts";
import { readJwt, verifies } from "../../../examples/ta-cooperation/wire/signed-jwt.ts";
import {
  accountHash,
  halfHash,
  referralHash,
  writeUnsignedJwt,
} from "../../../src/access-proxy/index.ts";
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
} from "../../support/ta-cooperation/referrals.ts";

const OTHER_TA = "https://other.example";
const START_S = START_MS / 1_000;

async function askMain(parties: Parties, change: Json = {}): Promise<Answered> {
  return post(parties.idpA.coopFromUrl, await mainRequest(parties, change));
}

/** Asks for each change by itself; all are refused alike. */
async function assertEachRefused(
  parties: Parties,
  error: string,
  changes: readonly Json[],
  told = /\w/,
): Promise<void> {
  for (const change of changes) assertRefused(await askMain(parties, change), error, told);
}

test("coop-from: one ID provider's answer is a signed code token and nothing else", async (t) => {
  const parties = await startParties(t);
  const { status, headers, body } = await askMain(parties, { users: { writer: CAROL } });
  assert.equal(status, 200);
  assert.equal(headers.get("content-type"), "application/json");
  assert.equal(headers.get("cache-control"), "no-store");
  assert.equal(headers.get("pragma"), "no-cache");
  assert.deepEqual(Object.keys(body), ["code_token"]);
  const jwt = readJwt(body["code_token"]);
  assert.ok(jwt !== null && (await verifies(jwt, [publicJwk(parties.signers.idpA)])));
  const { sub, ...claims } = jwt.claims;
  assert.match(String(sub), /^[\w-]{30}$/);
  assert.deepEqual(claims, {
    iss: IDP_A,
    aud: TO_TA,
    from_client: FROM_TA,
    user_tag: "reader",
    user_tags: ["writer"],
  });
});

test("coop-from: a referral names what was asked for, and its hash is in the code token", async (t) => {
  const parties = await startParties(t);
  const { status, body } = await askMain(parties, REFERRAL_WISH);
  assert.equal(status, 200);
  const { jti, ...claims } = claimsOf(body["referral"]);
  assert.match(String(jti), /^[\w-]{20}$/);
  assert.deepEqual(claims, {
    iss: IDP_A,
    sub: FROM_TA,
    aud: [IDP_B],
    exp: START_S + 600,
    to_client: TO_TA,
    related_users: { observer: OBSERVER_HASH },
    hash_alg: "SHA256",
  });
  const { ref_hash: refHash, ...rest } = claimsOf(body["code_token"]);
  assert.equal(refHash, referralHash("SHA256", String(body["referral"])));
  assert.equal("user_tags" in rest, false);
});

test("coop-from: fields of a referral that is not asked for are ignored", async (t) => {
  const parties = await startParties(t);
  const fields = { hash_alg: "MD5", related_users: { reader: "x" }, related_issuers: ["nobody"] };
  const { status, body } = await askMain(parties, fields);
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(body), ["code_token"]);
});

test("coop-from: parameters of the media type are of no account, other methods are refused", async (t) => {
  const parties = await startParties(t);
  const { coopFromUrl } = parties.idpA;
  const type = "application/json; charset=utf-8";
  const { status } = await post(coopFromUrl, await mainRequest(parties), type);
  assert.equal(status, 200);
  const response = await fetch(coopFromUrl);
  assert.equal(response.status, 405);
  assert.equal(response.headers.get("allow"), "POST");
});

test("coop-from F1: the body is JSON, with response_type and a known grant_type", async (t) => {
  const parties = await startParties(t);
  const { coopFromUrl } = parties.idpA;
  const whole = JSON.stringify(await mainRequest(parties));
  for (const text of ["", "{", "[]", "null", '"x"']) {
    assertRefused(await post(coopFromUrl, text), "400 invalid_request");
  }
  assertRefused(await post(coopFromUrl, whole, "text/plain"), "400 invalid_request");
  await assertEachRefused(
    parties,
    "400 invalid_request",
    [{ response_type: undefined }, { response_type: 1 }],
    /response_type is missing/,
  );
  await assertEachRefused(
    parties,
    "400 invalid_request",
    [{ grant_type: undefined }, { grant_type: "" }],
    /grant_type is missing/,
  );
  await assertEachRefused(
    parties,
    "400 invalid_request",
    [{ grant_type: "password" }],
    /grant_type is unknown/,
  );
});

test("coop-from F1: a body beyond the limit is refused, one at the limit is read", async (t) => {
  const parties = await startParties(t);
  const bytesMax = 262_144;
  const request = { ...(await mainRequest(parties)), padding: "" };
  const padding = "x".repeat(bytesMax - JSON.stringify(request).length);
  const { coopFromUrl } = parties.idpA;
  assert.equal((await post(coopFromUrl, { ...request, padding })).status, 200);
  const { status, body } = await post(coopFromUrl, { ...request, padding: `${padding}x` });
  assert.equal(status, 413);
  assert.equal(body["error"], "invalid_request");
});

test("coop-from F2: response_type is one that the grant allows", async (t) => {
  const parties = await startParties(t);
  await assertEachRefused(
    parties,
    "400 invalid_request",
    [
      { ...REFERRAL_WISH, response_type: "referral" },
      { response_type: "code_token id_token" },
      { response_type: "code_token code_token" },
      { response_type: "code" },
    ],
    /response_type is not allowed/,
  );
  const swapped = { ...REFERRAL_WISH, response_type: "referral code_token" };
  assert.equal((await askMain(parties, swapped)).status, 200);
});

test("coop-from F3: from_client is known", async (t) => {
  const parties = await startParties(t);
  await assertEachRefused(
    parties,
    "400 invalid_client",
    [{ from_client: undefined }, { from_client: OTHER_TA }, { from_client: "constructor" }],
    /from_client is unknown/,
  );
});

/** One request for each way in which an assertion can be wrong. */
async function wrongAssertions(parties: Parties): Promise<Json[]> {
  const { signers, idpA } = parties;
  const url = idpA.coopFromUrl;
  const sign = (change: Json, signer = signers.from): Promise<string> =>
    assertion(parties, signer, FROM_TA, url, change);
  const changed = [
    ...["iss", "sub", "aud", "jti", "exp"].map((name) => sign({ [name]: undefined })),
    sign({ sub: TO_TA }),
    sign({ iss: OTHER_TA, sub: OTHER_TA }),
    sign({ aud: idpA.coopToUrl }),
    sign({ aud: [parties.idpB.coopFromUrl] }),
    sign({ exp: START_S - 31 }),
    sign({ exp: String(START_S + 300) }),
    sign({ jti: "x".repeat(257) }),
    sign({}, signers.to),
    sign({}, await newSigner("from-1")),
    assertion(parties, signers.to, TO_TA, url),
  ];
  const texts: unknown[] = [...(await Promise.all(changed)), undefined, "x.y.z", 1];
  texts.push(
    writeUnsignedJwt({ iss: FROM_TA, sub: FROM_TA, aud: url, jti: "j", exp: START_S + 300 }),
  );
  return texts.map((text) => ({ client_assertion: text }));
}

test("coop-from F4: the client assertion is the from-TA's, for this endpoint, and still good", async (t) => {
  const parties = await startParties(t);
  await assertEachRefused(parties, "400 invalid_client", await wrongAssertions(parties));
  await assertEachRefused(parties, "400 invalid_client", [
    { client_assertion_type: undefined },
    { client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:saml2-bearer" },
  ]);
  const { signers, idpA } = parties;
  const several = { aud: [idpA.coopToUrl, idpA.coopFromUrl], exp: START_S - 30 };
  const text = await assertion(parties, signers.from, FROM_TA, idpA.coopFromUrl, several);
  assert.equal((await askMain(parties, { client_assertion: text })).status, 200);
});

test("coop-from F4: an assertion is taken once, also by a request that a later row refuses", async (t) => {
  const parties = await startParties(t);
  const request = await mainRequest(parties);
  const { coopFromUrl } = parties.idpA;
  assert.equal((await post(coopFromUrl, request)).status, 200);
  assertRefused(await post(coopFromUrl, request), "400 invalid_client");
  const refused = await mainRequest(parties, { user_tag: undefined });
  assertRefused(await post(coopFromUrl, refused), "400 invalid_request");
  assertRefused(await post(coopFromUrl, refused), "400 invalid_client");
});

test("coop-from F4: of an assertion that comes many times at once one is taken", async (t) => {
  const parties = await startParties(t);
  const request = await mainRequest(parties);
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => post(parties.idpA.coopFromUrl, request)),
  );
  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
});

test("coop-from F4: whose assertions are beyond what can be remembered is refused, until some end", async (t) => {
  const parties = await startParties(t, { idp: { entriesMax: 3 } });
  for (let sent = 0; sent < 3; sent++) assert.equal((await askMain(parties)).status, 200);
  const { status, body } = await askMain(parties);
  assert.deepEqual([status, body["error"]], [500, "server_error"]);
  parties.clock.now += 331_000;
  assert.equal((await askMain(parties)).status, 200);
});

test("coop-from F5: to_client, access_token and user_tag are there", async (t) => {
  const parties = await startParties(t);
  await assertEachRefused(
    parties,
    "400 invalid_request",
    ["to_client", "access_token", "user_tag"].flatMap((name) => [
      { [name]: undefined },
      { [name]: "" },
    ]),
    /(to_client|access_token|user_tag) is missing/,
  );
});

test("coop-from F6: to_client is known, and another TA", async (t) => {
  const parties = await startParties(t);
  await assertEachRefused(
    parties,
    "400 invalid_request",
    [{ to_client: OTHER_TA }, { to_client: FROM_TA }],
    /to_client is/,
  );
});

test("coop-from F7: the access token is known, not revoked and not over", async (t) => {
  const parties = await startParties(t);
  const { idpA, clock } = parties;
  const order = { accountId: ALICE, clientId: FROM_TA };
  const revoked = idpA.issueToken(order);
  idpA.revokeToken(revoked);
  await assertEachRefused(
    parties,
    "400 invalid_grant",
    [{ access_token: "nobody-ever-issued-this-token" }, { access_token: revoked }],
    /is not valid/,
  );
  const short = idpA.issueToken({ ...order, expiresInS: 10 });
  clock.now += 10_000;
  assert.equal((await askMain(parties, { access_token: short })).status, 200);
  clock.now += 1;
  await assertEachRefused(parties, "400 invalid_grant", [{ access_token: short }]);
});

test("coop-from F8: the access token was issued to the from-TA", async (t) => {
  const parties = await startParties(t);
  const ofTarget = parties.idpA.issueToken({ accountId: ALICE, clientId: TO_TA });
  await assertEachRefused(
    parties,
    "400 invalid_grant",
    [{ access_token: ofTarget }],
    /of another TA/,
  );
});

test("coop-from F9: scope is no wider than that of the access token", async (t) => {
  const parties = await startParties(t);
  await assertEachRefused(parties, "400 invalid_scope", [
    { scope: "email" },
    { scope: "openid email" },
  ]);
  assert.equal((await askMain(parties, { scope: "openid" })).status, 200);
});

test("coop-from F9: scope is a text, and expires_in a number of seconds", async (t) => {
  const parties = await startParties(t);
  await assertEachRefused(
    parties,
    "400 invalid_request",
    [
      { scope: ["openid"] },
      { scope: null },
      { expires_in: "60" },
      { expires_in: -1 },
      { expires_in: 0.5 },
    ],
    /scope|expires_in/,
  );
});

test("coop-from F10: each account of users is there", async (t) => {
  const parties = await startParties(t);
  await assertEachRefused(
    parties,
    "400 invalid_request",
    [{ users: { writer: CAROL, other: BOB } }, { users: { writer: 1 } }, { users: [CAROL] }],
    /users/,
  );
});

test("coop-from F10: a TA with pairwise ids means accounts by these, and no others", async (t) => {
  const parties = await startParties(t);
  const { directory } = parties.idpA;
  const ta = {
    clientId: FROM_TA,
    jwks: [publicJwk(parties.signers.from)],
    subjectType: "pairwise" as const,
  };
  directory.addTa(ta);
  const account = directory.account(CAROL);
  assert.ok(account !== undefined);
  const pairwise = directory.subjectOf(account, ta);
  assert.notEqual(pairwise, CAROL);
  const { status, body } = await askMain(parties, { users: { writer: pairwise } });
  assert.equal(status, 200);
  assert.deepEqual(claimsOf(body["code_token"])["user_tags"], ["writer"]);
  await assertEachRefused(parties, "400 invalid_request", [{ users: { writer: CAROL } }]);
  const elsewhere = { ...ta, clientId: OTHER_TA };
  assert.notEqual(directory.subjectOf(account, elsewhere), pairwise);
  const sameSector = { ...elsewhere, sectorIdentifierUri: `${FROM_TA}/sector.json` };
  assert.equal(directory.subjectOf(account, sameSector), pairwise);
});

test("coop-from F11: no tag is used twice", async (t) => {
  const parties = await startParties(t);
  await assertEachRefused(
    parties,
    "400 invalid_request",
    [
      { users: { reader: CAROL } },
      { ...REFERRAL_WISH, related_users: { reader: OBSERVER_HASH } },
      { ...REFERRAL_WISH, users: { observer: CAROL } },
    ],
    /tag is used twice/,
  );
});

test("coop-from F12: a referral's hashes are of a supported algorithm, its issuers known", async (t) => {
  const parties = await startParties(t);
  const wishes = [
    { hash_alg: undefined },
    { hash_alg: "sha256" },
    { hash_alg: "SHA-256" },
    { hash_alg: "SHA384" },
    { related_users: undefined },
    { related_users: {} },
    { related_users: { observer: OBSERVER_HASH.slice(1) } },
    { related_users: { observer: `${OBSERVER_HASH.slice(1)}=` } },
    { related_users: { observer: 1 } },
    { related_issuers: undefined },
    { related_issuers: [] },
    { related_issuers: IDP_B },
    { related_issuers: [IDP_B, "https://idp-c.example"] },
    { related_issuers: [IDP_A] },
  ];
  await assertEachRefused(
    parties,
    "400 invalid_request",
    wishes.map((change) => ({ ...REFERRAL_WISH, ...change })),
    /hash_alg|related_users|related_issuers/,
  );
  for (const algorithm of ["SHA384", "SHA512"] as const) {
    const hash = accountHash(algorithm, IDP_B, BOB);
    const wish = { ...REFERRAL_WISH, hash_alg: algorithm, related_users: { observer: hash } };
    const { status, body } = await askMain(parties, wish);
    assert.equal(status, 200);
    const refHash = claimsOf(body["code_token"])["ref_hash"];
    assert.equal(refHash, halfHash(algorithm, String(body["referral"])));
  }
});

/** Requests that fail in two rows; the earlier one answers. */
const ORDER: ReadonlyArray<readonly [rows: string, change: Json, error: string]> = [
  ["F1 before F3", { grant_type: "x", from_client: OTHER_TA }, "400 invalid_request"],
  ["F2 before F3", { response_type: "x", from_client: OTHER_TA }, "400 invalid_request"],
  ["F3 before F5", { from_client: OTHER_TA, user_tag: "" }, "400 invalid_client"],
  ["F4 before F5", { client_assertion: "x", user_tag: "" }, "400 invalid_client"],
  ["F5 before F7", { user_tag: "", access_token: "x" }, "400 invalid_request"],
  ["F6 before F7", { to_client: OTHER_TA, access_token: "x" }, "400 invalid_request"],
  ["F7 before F9", { access_token: "x", scope: "email" }, "400 invalid_grant"],
  ["F9 before F10", { scope: "email", users: { writer: BOB } }, "400 invalid_scope"],
];

for (const [rows, change, error] of ORDER) {
  test(`coop-from: ${rows}`, async (t: TestContext) => {
    assertRefused(await askMain(await startParties(t), change), error);
  });
}
