import assert from "node:assert/strict";
import test from "node:test";
import {
  ALICE,
  BOB,
  FROM_TA,
  IDP_A,
  IDP_B,
  newSigner,
  publicJwk,
  TO_TA,
} from "../../../examples/ta-cooperation/stack.ts";
import type { Json } from "../../../examples/ta-cooperation/wire/json-http.ts";
import { readJwt, verifies } from "../../../examples/ta-cooperation/wire/signed-jwt.ts";
import { CLIENT_ASSERTION_TYPE, writeUnsignedJwt } from "../../../src/access-proxy/index.ts";
import { START_MS } from "../../support/ta-cooperation/parties.ts";
import type { RawAnswer } from "../../support/ta-cooperation/raw-call.ts";
import {
  assertProtocolError,
  type ReceiverParties,
  startReceiver,
  unsignedClaims,
} from "../../support/ta-cooperation/receiver.ts";

const START_S = START_MS / 1_000;

async function callBoth({ call, idpA, idpB }: ReceiverParties): Promise<RawAnswer> {
  const refHash = { ref_hash: "98dP4MfN3Hxdr0TWELBMBQ" };
  return call([await idpA.codeToken(refHash), await idpB.codeToken(refHash)]);
}

test("receiver, redeeming: the code goes to its issuer's endpoint, with an assertion of this TA", async (t) => {
  const parties = await startReceiver(t);
  assert.equal((await callBoth(parties)).status, 200);
  const jtis = new Set<unknown>();
  for (const idp of [parties.idpA, parties.idpB]) {
    assert.equal(idp.asked.length, 1);
    const { client_assertion: assertion, ...rest } = idp.asked[0] ?? {};
    assert.deepEqual(rest, {
      grant_type: "cooperation_code",
      code: "c1Qn8VxT2sLw5RzK7yHb3MfJ9pDgAe",
      client_assertion_type: CLIENT_ASSERTION_TYPE,
    });
    const jwt = readJwt(assertion);
    assert.ok(jwt !== null && (await verifies(jwt, [publicJwk(parties.signer)])));
    const { jti, ...claims } = jwt.claims;
    assert.match(String(jti), /^[\w-]{16}$/);
    jtis.add(jti);
    const exp = START_S + 300;
    assert.deepEqual(claims, { iss: TO_TA, sub: TO_TA, aud: idp.coopToUrl, exp, iat: START_S });
  }
  assert.equal(jtis.size, 2);
});

test("receiver, redeeming: an ID provider's refusal is answered as it is", async (t) => {
  const parties = await startReceiver(t);
  const { script } = parties.idpB;
  script.status = 403;
  script.members = { error: "access_denied", error_description: "no consent" };
  const told = assertProtocolError(await callBoth(parties), "403 access_denied");
  assert.equal(told, "no consent");
  assert.equal(parties.contents.length, 0);
});

test("receiver, redeeming: a refusal that is none of OAuth becomes one", async (t) => {
  const parties = await startReceiver(t);
  const { script } = parties.idpA;
  script.members = { error: "teapot", error_description: 1 };
  for (const [status, expected] of [
    [418, 418],
    [302, 500],
  ] as const) {
    script.status = status;
    assertProtocolError(await callBoth(parties), `${expected} server_error`);
  }
});

test("receiver, redeeming: what an ID provider says fits into a field", async (t) => {
  const parties = await startReceiver(t);
  parties.idpA.script.status = 400;
  parties.idpA.script.members = { error: "invalid_grant", error_description: "使\r\nX-A: 1" };
  const { status, headers } = await callBoth(parties);
  assert.equal(status, 400);
  assert.equal(headers["x-edo-cooperation-error"], "???X-A: 1");
});

test("receiver, redeeming: an answer beyond the limit is none", async (t) => {
  const { call, idpA } = await startReceiver(t);
  const token = await idpA.codeToken();
  const rest = Buffer.byteLength(JSON.stringify({ padding: "" })) + 1_024;
  idpA.script.members = { padding: "x".repeat(262_144 - rest) };
  assert.equal((await call([token])).status, 200);
  idpA.script.members = { padding: "x".repeat(262_144) };
  assertProtocolError(await call([token]), "403 access_denied");
});

test("receiver, redeeming: an ID provider that does not answer is 500", async (t) => {
  const { call, idpA } = await startReceiver(t);
  const token = await idpA.codeToken();
  await idpA.close();
  const told = assertProtocolError(await call([token]), "500 server_error");
  assert.equal(told, `ID provider ${IDP_A} is unreachable`);
});

/** Each rule about an ids_token, with what breaks it. */
const IDS_TOKEN: ReadonlyArray<readonly [rule: string, members: Json, claims: Json]> = [
  ["it is there", { ids_token: undefined }, {}],
  ["it is a JWT", { ids_token: "nonsense" }, {}],
  ["it has iss", {}, { iss: undefined }],
  ["it has sub", {}, { sub: undefined }],
  ["it has aud", {}, { aud: undefined }],
  ["it has exp", {}, { exp: undefined }],
  ["it has iat", {}, { iat: undefined }],
  ["it has ids", {}, { ids: undefined }],
  ["ids is an object", {}, { ids: [{ sub: ALICE }] }],
  ["it has each account of the code token", {}, { ids: { writer: { sub: ALICE } } }],
  ["an account is an object", {}, { ids: { reader: ALICE } }],
  ["an account has sub", {}, { ids: { reader: { name: "Alice" } } }],
  ["it is of the ID provider that was asked", {}, { iss: IDP_B }],
  ["it is for this TA", {}, { aud: [FROM_TA] }],
  ["it has not expired", {}, { exp: START_S - 31 }],
  ["it names the TA of the main code token", {}, { sub: "https://other.example" }],
  [
    "it is signed",
    {
      ids_token: writeUnsignedJwt({
        ...{ iss: IDP_A, sub: FROM_TA, aud: TO_TA, exp: START_S + 600, iat: START_S },
        ids: { reader: { sub: ALICE } },
      }),
    },
    {},
  ],
];

for (const [rule, members, claims] of IDS_TOKEN) {
  test(`receiver, ids_token: ${rule}`, async (t) => {
    const { idpA, call, contents } = await startReceiver(t);
    idpA.script.members = members;
    idpA.script.claims = claims;
    assertProtocolError(await call([await idpA.codeToken()]), "403 access_denied");
    assert.equal(contents.length, 0);
  });
}

test("receiver, ids_token: its signature verifies with the ID provider's key", async (t) => {
  const { idpA, idpB, call } = await startReceiver(t);
  for (const signer of [idpB.signer, await newSigner("idp-a.example-1")]) {
    idpA.script.signer = signer;
    assertProtocolError(await call([await idpA.codeToken()]), "403 access_denied");
  }
});

test("receiver, ids_token: it has each related account", async (t) => {
  const parties = await startReceiver(t);
  parties.idpB.script.claims = { ids: { reader: { sub: BOB } } };
  assertProtocolError(await callBoth(parties), "403 access_denied");
});

test("receiver, ids_token: thirty seconds between clocks are borne", async (t) => {
  const { idpA, call } = await startReceiver(t);
  idpA.script.claims = { exp: START_S - 30 };
  assert.equal((await call([await idpA.codeToken()])).status, 200);
});

test("receiver, ids_token: all ID providers name the same TA", async (t) => {
  const parties = await startReceiver(t);
  parties.idpB.script.claims = { sub: "https://other.example" };
  assertProtocolError(await callBoth(parties), "400 invalid_request");
  parties.idpA.script.claims = { sub: "https://other.example" };
  assertProtocolError(await callBoth(parties), "403 access_denied");
});

test("receiver, redeeming: the main ID provider gives an access token", async (t) => {
  const { idpA, call, contents } = await startReceiver(t);
  for (const token of [undefined, "", 1]) {
    idpA.script.members = { access_token: token };
    assertProtocolError(await call([await idpA.codeToken()]), "403 access_denied");
  }
  assert.equal(contents.length, 0);
});

test("receiver, redeeming: accounts that no code token names are not told of", async (t) => {
  const { idpA, call, contents } = await startReceiver(t);
  idpA.script.claims = { ids: { reader: { sub: ALICE }, writer: { sub: BOB } } };
  assert.equal((await call([await idpA.codeToken()])).status, 200);
  assert.equal(contents[0]?.headers["x-auth-users"], undefined);
});

test("receiver, redeeming: the new token is kept under its at_tag, for calls on", async (t) => {
  const { idpA, call, contents, receiver, clock } = await startReceiver(t);
  await call([await idpA.codeToken()]);
  const atTag = String(unsignedClaims(contents[0]?.headers["x-auth-user"])["at_tag"]);
  assert.deepEqual(receiver.token(atTag), {
    token: "Bn3GtU9yKe6LwQ1RzXc8VoHm5JsPaD",
    issuer: IDP_A,
    scope: "openid",
    expiresAtMs: START_MS + 3_600_000,
  });
  assert.equal(receiver.token("kQ7mZp3xLa"), undefined);
  clock.now += 86_400_000;
  assert.equal(receiver.token(atTag), undefined);
});

test("receiver, redeeming: tokens are kept up to a limit; the oldest makes room", async (t) => {
  const { idpA, call, contents, receiver } = await startReceiver(t, { entriesMax: 2 });
  for (let calls = 0; calls < 3; calls++) await call([await idpA.codeToken()]);
  const kept = contents.map(({ headers }) =>
    receiver.token(String(unsignedClaims(headers["x-auth-user"])["at_tag"])),
  );
  assert.deepEqual(
    kept.map((token) => token !== undefined),
    [false, true, true],
  );
  assert.equal(receiver.sessionCount, 2);
});
