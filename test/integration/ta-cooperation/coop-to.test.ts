import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import test, { type TestContext } from "node:test";
import { CODE_VALID_MS } from "../../../examples/ta-cooperation/idp/index.ts";
import {
  ALICE,
  BOB,
  CAROL,
  FROM_TA,
  IDP_A,
  newSigner,
  publicJwk,
  TO_TA,
} from "../../../examples/ta-cooperation/stack.ts";
import type { Json } from "../../../examples/ta-cooperation/wire/json-http.ts";
import { answerJson } from "../../../examples/ta-cooperation/wire/json-http.ts";
import {
  httpServer,
  listenOnLoopback,
} from "../../../examples/ta-cooperation/wire/loopback-server.ts";
import { readJwt, verifies } from "../../../examples/ta-cooperation/wire/signed-jwt.ts";
import {
  type Answered,
  assertion,
  mainRequest,
  type Parties,
  post,
  START_MS,
  startParties,
  toRequest,
} from "../../support/ta-cooperation/parties.ts";
import { assertRefused, claimsOf, subRequest } from "../../support/ta-cooperation/referrals.ts";

const START_S = START_MS / 1_000;

/** A fresh cooperation code of ID provider A. */
async function newCode(parties: Parties, change: Json = {}): Promise<string> {
  const { status, body } = await post(
    parties.idpA.coopFromUrl,
    await mainRequest(parties, { users: { writer: CAROL }, ...change }),
  );
  assert.equal(status, 200);
  return String(claimsOf(body["code_token"])["sub"]);
}

async function redeem(parties: Parties, code: unknown, change: Json = {}): Promise<Answered> {
  return post(parties.idpA.coopToUrl, await toRequest(parties, code, change));
}

test("coop-to: a code is redeemed for a token and an ids_token", async (t) => {
  const parties = await startParties(t);
  const { status, headers, body } = await redeem(parties, await newCode(parties));
  assert.equal(status, 200);
  assert.equal(headers.get("content-type"), "application/json");
  assert.equal(headers.get("cache-control"), "no-store");
  assert.equal(headers.get("pragma"), "no-cache");
  const { access_token: token, ids_token: idsToken, ...rest } = body;
  assert.match(String(token), /^[\w-]{30}$/);
  assert.notEqual(token, parties.accessToken);
  assert.deepEqual(rest, { token_type: "Bearer", expires_in: 3_600, scope: "openid" });
  const jwt = readJwt(idsToken);
  assert.ok(jwt !== null && (await verifies(jwt, [publicJwk(parties.signers.idpA)])));
  assert.deepEqual(jwt.claims, {
    iss: IDP_A,
    sub: FROM_TA,
    aud: TO_TA,
    exp: START_S + 600,
    iat: START_S,
    ids: { reader: { sub: ALICE }, writer: { sub: CAROL } },
  });
});

test("coop-to: the new token ends no later than its source, and no later than was asked", async (t) => {
  const parties = await startParties(t);
  const times = [
    [undefined, 3_600],
    [0, 3_600],
    [60, 60],
    [9_999, 3_600],
  ] as const;
  for (const [asked, expected] of times) {
    const { body } = await redeem(parties, await newCode(parties, { expires_in: asked }));
    assert.equal(body["expires_in"], expected);
  }
});

test("coop-to: the scope given is what was asked for and consented to", async (t) => {
  const parties = await startParties(t);
  const { idpA } = parties;
  const order = { accountId: ALICE, clientId: FROM_TA, scopes: ["openid", "email", "profile"] };
  const token = idpA.issueToken(order);
  idpA.directory.consent(ALICE, TO_TA, { scopes: ["openid", "email", "phone"], claims: [] });
  const whole = await redeem(parties, await newCode(parties, { access_token: token }));
  assert.equal(whole.body["scope"], "openid email");
  const narrow = { access_token: token, scope: "profile" };
  const none = await redeem(parties, await newCode(parties, narrow));
  assert.equal(none.status, 200);
  assert.equal("scope" in none.body, false);
});

test("coop-to: a code without a principal gives no token", async (t) => {
  const parties = await startParties(t);
  const { idpB } = parties;
  const code = await subCode(parties);
  const { status, body } = await redeemAtB(parties, code, {});
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(body), ["ids_token"]);
  assert.deepEqual(claimsOf(body["ids_token"])["ids"], { observer: { sub: BOB } });
  assert.equal(claimsOf(body["ids_token"])["iss"], idpB.issuer);
});

/** A code of ID provider B, which a referral led to. */
async function subCode(parties: Parties): Promise<string> {
  const { body } = await post(parties.idpB.coopFromUrl, await subRequest(parties));
  return String(claimsOf(body["code_token"])["sub"]);
}

async function redeemAtB(parties: Parties, code: string, change: Json): Promise<Answered> {
  const { idpB, signers } = parties;
  const text = await assertion(parties, signers.to, TO_TA, idpB.coopToUrl);
  return post(
    idpB.coopToUrl,
    await toRequest(parties, code, { client_assertion: text, ...change }),
  );
}

test("coop-to: accounts are shown by pairwise ids where the to-TA has these", async (t) => {
  const parties = await startParties(t);
  const { directory } = parties.idpA;
  const jwks = [publicJwk(parties.signers.to)];
  const ta = { clientId: TO_TA, jwks, subjectType: "pairwise" as const };
  directory.addTa(ta);
  const { body } = await redeem(parties, await newCode(parties));
  const shown = [ALICE, CAROL].map((id) => {
    const account = directory.account(id);
    return account === undefined ? "" : directory.subjectOf(account, ta);
  });
  assert.ok(!shown.includes(ALICE) && !shown.includes(CAROL) && !shown.includes(""));
  const [reader, writer] = shown;
  assert.deepEqual(claimsOf(body["ids_token"])["ids"], {
    reader: { sub: reader },
    writer: { sub: writer },
  });
});

test("coop-to: claims that are asked for and consented to are told", async (t) => {
  const parties = await startParties(t);
  const { directory } = parties.idpA;
  directory.addAccount({ id: ALICE, attributes: { name: "Alice", email: "a@a.example", age: 30 } });
  directory.consent(ALICE, TO_TA, { scopes: ["openid"], claims: ["name", "age", "phone"] });
  directory.consent(CAROL, TO_TA, { scopes: [], claims: ["name"] });
  const { body } = await redeem(parties, await newCode(parties), {
    claims: { id_token: { name: { essential: true }, email: null, phone: null, sub: null } },
    user_claims: { writer: { name: { values: ["Carol", "Caroline"] } } },
  });
  assert.deepEqual(claimsOf(body["ids_token"])["ids"], {
    reader: { sub: ALICE, name: "Alice" },
    writer: { sub: CAROL, name: "Carol" },
  });
});

test("coop-to G1: the body is JSON, with a code and the grant of cooperation", async (t) => {
  const parties = await startParties(t);
  const code = await newCode(parties);
  for (const text of ["", "[]"]) {
    assertRefused(await post(parties.idpA.coopToUrl, text), "400 invalid_request", /JSON/);
  }
  const changes = [
    [{ grant_type: undefined }, /grant_type is missing/],
    [{ grant_type: "authorization_code" }, /grant_type is unknown/],
    [{ code: undefined }, /code is missing/],
    [{ code: "" }, /code is missing/],
    [{ code: 1 }, /code is missing/],
  ] as const;
  for (const [change, told] of changes) {
    assertRefused(await redeem(parties, code, change), "400 invalid_request", told);
  }
});

test("coop-to G2: the code is known, not over and not used before", async (t) => {
  const parties = await startParties(t);
  const refused = (code: string): Promise<void> =>
    redeem(parties, code).then((it) => assertRefused(it, "400 invalid_grant", /code is not valid/));
  await refused("c1Qn8VxT2sLw5RzK7yHb3MfJ9pDgAe");
  const used = await newCode(parties);
  assert.equal((await redeem(parties, used)).status, 200);
  await refused(used);
  const [atEnd, over] = [await newCode(parties), await newCode(parties)];
  parties.clock.now += CODE_VALID_MS;
  assert.equal((await redeem(parties, atEnd)).status, 200);
  parties.clock.now += 1;
  await refused(over);
});

/** Where the to-TA's keys are: nobody gets them before so many have asked, and then all do. */
async function gatedKeys(t: TestContext, { signers }: Parties, asking: number): Promise<string> {
  const waiting: ServerResponse[] = [];
  const server = await listenOnLoopback(
    httpServer((_request, answer) => {
      waiting.push(answer);
      if (waiting.length < asking) return;
      for (const each of waiting) answerJson(each, 200, { keys: [publicJwk(signers.to)] });
    }),
  );
  t.after(() => server.close());
  return server.url;
}

test("coop-to G2: of requests that all came before a code was used one redeems it", async (t) => {
  const parties = await startParties(t);
  const code = await newCode(parties);
  const requests = 4;
  const jwksUri = await gatedKeys(t, parties, requests);
  parties.idpA.directory.addTa({ clientId: TO_TA, jwksUri });
  const answers = await Promise.all(Array.from({ length: requests }, () => redeem(parties, code)));
  const [first, ...others] = answers.sort((a, b) => a.status - b.status);
  assert.equal(first?.status, 200);
  for (const other of others) assertRefused(other, "400 invalid_grant", /code is not valid/);
});

test("coop-to G2: codes are good more than once where that is wanted", async (t) => {
  const parties = await startParties(t, { idp: { singleUseCodes: false } });
  const code = await newCode(parties);
  assert.equal((await redeem(parties, code)).status, 200);
  assert.equal((await redeem(parties, code)).status, 200);
});

test("coop-to G3: the client assertion is the to-TA's, for this endpoint, and new", async (t) => {
  const parties = await startParties(t);
  const { signers, idpA } = parties;
  const code = await newCode(parties);
  const sign = (change: Json, signer = signers.to): Promise<string> =>
    assertion(parties, signer, TO_TA, idpA.coopToUrl, change);
  const texts = [
    "x",
    await sign({ aud: idpA.coopFromUrl }),
    await sign({ exp: START_S - 31 }),
    await sign({ jti: undefined }),
    await sign({}, signers.from),
    await sign({}, await newSigner("to-1")),
  ];
  for (const text of texts) {
    assertRefused(await redeem(parties, code, { client_assertion: text }), "400 invalid_client");
  }
  const untyped = { client_assertion_type: undefined };
  assertRefused(await redeem(parties, code, untyped), "400 invalid_client");
  const used = await toRequest(parties, code);
  assert.equal((await post(idpA.coopToUrl, used)).status, 200);
  const replayed = { ...used, code: await newCode(parties) };
  assertRefused(await post(idpA.coopToUrl, replayed), "400 invalid_client", /used before/);
});

test("coop-to G3: an assertion of another TA does not get the code, and does not use it up", async (t) => {
  const parties = await startParties(t);
  const code = await newCode(parties);
  const { signers, idpA } = parties;
  const foreign = await assertion(parties, signers.from, FROM_TA, idpA.coopToUrl);
  const answer = await redeem(parties, code, { client_assertion: foreign });
  assertRefused(answer, "400 invalid_grant", /another TA/);
  assert.equal((await redeem(parties, code)).status, 200);
});

test("coop-to G4: claims are for a code with a principal alone", async (t) => {
  const parties = await startParties(t);
  const code = await subCode(parties);
  assertRefused(await redeemAtB(parties, code, { claims: {} }), "400 invalid_grant", /principal/);
});

test("coop-to G5: user_claims names tags of the code's related accounts alone", async (t) => {
  const parties = await startParties(t);
  for (const tag of ["reader", "observer"]) {
    const change = { user_claims: { writer: null, [tag]: null } };
    const answer = await redeem(parties, await newCode(parties), change);
    assertRefused(answer, "400 invalid_grant", /user_claims/);
  }
});

test("coop-to G6: all accounts still exist", async (t) => {
  for (const id of [ALICE, CAROL]) {
    const parties = await startParties(t);
    const code = await newCode(parties);
    parties.idpA.directory.removeAccount(id);
    assertRefused(await redeem(parties, code), "403 invalid_request", /no more/);
  }
});

test("coop-to G7: what is demanded of claims is met by the accounts", async (t) => {
  const parties = await startParties(t);
  const { directory } = parties.idpA;
  directory.consent(ALICE, TO_TA, { scopes: ["openid"], claims: ["name", "email"] });
  directory.consent(CAROL, TO_TA, { scopes: [], claims: ["name"] });
  const unmet: Json[] = [
    { claims: { id_token: { email: { essential: true } } } },
    { claims: { id_token: { name: { value: "Bob" } } } },
    { claims: { id_token: { name: { values: ["Bob", "Carol"] } } } },
    { claims: { id_token: { sub: { value: CAROL } } } },
    { claims: { userinfo: { email: { essential: true } } } },
    { user_claims: { writer: { name: { essential: true, value: "Bob" } } } },
  ];
  for (const change of unmet) {
    const answer = await redeem(parties, await newCode(parties), change);
    assertRefused(answer, "403 access_denied", /not there|not what was asked/);
  }
  const met = {
    claims: {
      id_token: { sub: { value: ALICE }, name: { essential: true, values: ["Bob", "Alice"] } },
      userinfo: { name: { essential: true }, email: null },
    },
    user_claims: { writer: { name: { value: "Carol" } } },
  };
  assert.equal((await redeem(parties, await newCode(parties), met)).status, 200);
});

test("coop-to G7: claims that are no claims are refused as malformed", async (t) => {
  const parties = await startParties(t);
  const malformed: Json[] = [
    { claims: [] },
    { claims: { id_token: [] } },
    { claims: { id_token: { name: true } } },
    { claims: { id_token: { name: { essential: "yes" } } } },
    { claims: { id_token: { name: { values: "Alice" } } } },
    { user_claims: [] },
  ];
  for (const change of malformed) {
    const answer = await redeem(parties, await newCode(parties), change);
    assertRefused(answer, "400 invalid_request");
  }
});

test("coop-to G8: each account has consented, to every essential claim and scope", async (t) => {
  const essential = { name: { essential: true } };
  const cases: ReadonlyArray<readonly [(parties: Parties) => void, Json]> = [
    [({ idpA }) => idpA.directory.withdrawConsent(ALICE, TO_TA), {}],
    [({ idpA }) => idpA.directory.withdrawConsent(CAROL, TO_TA), {}],
    [({ idpA }) => idpA.directory.consent(ALICE, TO_TA, { scopes: [], claims: [] }), {}],
    [() => undefined, { claims: { id_token: essential } }],
    [() => undefined, { claims: { userinfo: essential } }],
    [() => undefined, { user_claims: { writer: essential } }],
  ];
  for (const [prepare, change] of cases) {
    const parties = await startParties(t);
    const code = await newCode(parties);
    prepare(parties);
    assertRefused(await redeem(parties, code, change), "403 access_denied", /consented/);
  }
  const parties = await startParties(t);
  const voluntary = { claims: { id_token: { name: null } } };
  const { body } = await redeem(parties, await newCode(parties), voluntary);
  assert.deepEqual((claimsOf(body["ids_token"])["ids"] as Json)["reader"], { sub: ALICE });
});

test("coop-to: a refused code can still be redeemed", async (t) => {
  const parties = await startParties(t);
  const code = await newCode(parties);
  const change = { user_claims: { other: null } };
  assertRefused(await redeem(parties, code, change), "400 invalid_grant");
  assert.equal((await redeem(parties, code)).status, 200);
});

test("coop-to: the key set is where the ID provider says, without the private part", async (t) => {
  const { idpA, signers } = await startParties(t);
  const response = await fetch(idpA.jwksUrl);
  assert.deepEqual(await response.json(), { keys: [publicJwk(signers.idpA)] });
  const { origin } = new URL(idpA.jwksUrl);
  assert.equal((await fetch(`${origin}/elsewhere`)).status, 404);
});
