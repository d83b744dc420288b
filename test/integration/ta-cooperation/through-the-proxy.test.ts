import assert from "node:assert/strict";
import test from "node:test";
import type { ContentHandler } from "../../../examples/ta-cooperation/receiver/index.ts";
import {
  ALICE,
  AT_TAG,
  BOB,
  CAROL,
  IDP_A,
  IDP_B,
  TO_TA,
} from "../../../examples/ta-cooperation/stack.ts";
import { writeUnsignedJwt } from "../../../src/access-proxy/index.ts";
import { type Parties, startParties } from "../../support/ta-cooperation/parties.ts";
import { type RawAnswer, rawCall } from "../../support/ta-cooperation/raw-call.ts";
import { unsignedClaims } from "../../support/ta-cooperation/receiver.ts";

/** Says whom it was called for, and how much of a body came. */
const echo: ContentHandler = async (request, answer) => {
  let bytes = 0;
  for await (const piece of request) bytes += (piece as Buffer).length;
  const { "x-auth-user": user, "x-auth-users": users } = request.headers;
  answer.setHeader("Content-Type", "application/json");
  answer.end(JSON.stringify({ bytes, user, users }));
};

const READER = { reader: { at_tag: AT_TAG } };

function call(parties: Parties, users: object, body = ""): Promise<RawAnswer> {
  const fields = [
    ...["X-Access-Proxy-To", `${parties.receiver.url}/api`, "X-Access-Proxy-To-Id", TO_TA],
    ...["X-Access-Proxy-Users", writeUnsignedJwt({ ...users })],
  ];
  return rawCall(parties.proxyUrl, fields, { method: body === "" ? "GET" : "POST", body });
}

/** Who was asked since `from`, in order. */
function askedOf({ exchanges }: Parties, from = 0): string[] {
  return exchanges.slice(from).map(({ issuer, endpoint }) => `${endpoint} ${issuer}`);
}

test("through the proxy: a principal and a related account of the same ID provider", async (t) => {
  const parties = await startParties(t, { content: echo });
  const answer = await call(parties, { ...READER, writer: { iss: IDP_A, sub: CAROL } });
  assert.equal(answer.status, 200);
  const { user, users } = JSON.parse(answer.text);
  assert.equal(unsignedClaims(user)["sub"], ALICE);
  assert.deepEqual(unsignedClaims(users), { writer: { sub: CAROL, iss: IDP_A } });
  assert.deepEqual(askedOf(parties), [`coop-from ${IDP_A}`, `coop-to ${IDP_A}`]);
});

test("through the proxy: two ID providers", async (t) => {
  const parties = await startParties(t, { content: echo });
  const answer = await call(parties, { ...READER, observer: { iss: IDP_B, sub: BOB } }, "hello");
  assert.equal(answer.status, 200, answer.text);
  const { bytes, users } = JSON.parse(answer.text);
  assert.equal(bytes, 5);
  assert.deepEqual(unsignedClaims(users), { observer: { sub: BOB, iss: IDP_B } });
  const arrivals = parties.requests.filter(({ at }) => at === "arrival");
  assert.equal(arrivals.length, 1);
  const lines = arrivals[0]?.fields.filter((field) => field === "X-Edo-Code-Tokens");
  assert.equal(lines?.length, 2);
});

test("through the proxy: a session serves the next call, until the target has lost it", async (t) => {
  const parties = await startParties(t, { content: echo });
  await call(parties, READER);
  assert.equal((await call(parties, READER)).status, 200);
  assert.equal(parties.exchanges.length, 2);
  parties.receiver.dropSessions();
  const answer = await call(parties, READER);
  assert.equal(answer.status, 200);
  assert.deepEqual(askedOf(parties, 2), [`coop-from ${IDP_A}`, `coop-to ${IDP_A}`]);
  assert.equal(answer.headers["x-edo-cooperation-error"], undefined);
});

for (const [read, bytes] of [
  [0, 10],
  [1_000, 10],
  [1_000, 3_000_000],
  [2_000_000, 3_000_000],
] as const) {
  test(`through the proxy: ${bytes} bytes, refused after ${read}, come whole in the end`, async (t) => {
    const parties = await startParties(t, { content: echo });
    await call(parties, READER);
    parties.receiver.refuseNextAfter(read);
    const answer = await call(parties, READER, "x".repeat(bytes));
    assert.equal(answer.status, 200, answer.text);
    assert.equal(JSON.parse(answer.text).bytes, bytes);
    assert.equal(parties.requests.filter(({ at }) => at === "refusal").length, 1);
  });
}

test("through the proxy: what an ID provider refuses the target with comes to the backend", async (t) => {
  const parties = await startParties(t, { content: echo });
  parties.idpA.directory.withdrawConsent(ALICE, TO_TA);
  const { status, headers, text } = await call(parties, READER);
  assert.equal(status, 403);
  assert.equal(headers["x-edo-cooperation-error"], "an account has not consented");
  assert.equal(headers["x-access-proxy-error"], undefined);
  assert.equal(JSON.parse(text).error, "access_denied");
});

test("through the proxy: what an ID provider refuses the proxy with is the proxy's error", async (t) => {
  const parties = await startParties(t, { content: echo });
  parties.idpA.revokeToken(parties.accessToken);
  const { status, headers } = await call(parties, READER);
  assert.equal(status, 500);
  assert.equal(headers["x-access-proxy-error"], `ID provider ${IDP_A} answered 400 invalid_grant`);
  assert.equal(parties.requests.length, 0);
});
