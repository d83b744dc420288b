/** RFC 9068: access tokens of registered machine clients. */
import assert from "node:assert/strict";
import test from "node:test";
import { flipSignature, macSigned, makeKey, sign, unsigned } from "../../support/oidc/keys.ts";
import { type Rig, rejected, rig } from "../../support/oidc/rig.ts";
import { type Claims, plain } from "../../support/oidc/scripted-idp.ts";

const INVALID = "ERR_OIDC_ACCESS_TOKEN_INVALID";

function claimsOf({ idp, time }: Rig, patch: Claims = {}): Claims {
  const now = time.epochSec();
  return {
    iss: idp.issuer,
    aud: "https://api.example.org",
    exp: now + 300,
    iat: now,
    jti: "token-1",
    client_id: "harness",
    sub: "harness",
    scope: "devices:read tunnel:use keys:write",
    ...patch,
  };
}

async function tokenOf(it: Rig, patch: Claims = {}, header: Claims = {}): Promise<string> {
  it.idp.script.header = { typ: "at+jwt", ...header };
  return await it.idp.sign(claimsOf(it, patch));
}

async function registered(t: Parameters<typeof rig>[0]): Promise<Rig> {
  const it = await rig(t);
  it.clients.clients.set(`${it.idp.issuer} harness`, {
    tenant: "tenant-a",
    scopes: ["devices:read", "tunnel:use", "devices:pair"],
  });
  return it;
}

test("access token: one in order names client, tenant and the scopes that both sides allow", async (t) => {
  const it = await registered(t);
  assert.deepEqual(await it.party.accessTokens.verify(await tokenOf(it)), {
    issuer: it.idp.issuer,
    clientId: "harness",
    sub: "harness",
    tenant: "tenant-a",
    scopes: ["devices:read", "tunnel:use"],
    tokenId: "token-1",
    expiresAtMs: (it.time.epochSec() + 300) * 1_000,
    isMachine: true,
  });
});

const ACCEPTED: readonly { readonly name: string; readonly make: (it: Rig) => Promise<string> }[] =
  [
    {
      name: "typ application/at+jwt",
      make: (it) => tokenOf(it, {}, { typ: "application/at+jwt" }),
    },
    { name: "typ AT+JWT", make: (it) => tokenOf(it, {}, { typ: "AT+JWT" }) },
    { name: "two audiences", make: (it) => tokenOf(it, { aud: ["x", "https://api.example.org"] }) },
    { name: "exp 29 s ago", make: (it) => tokenOf(it, { exp: it.time.epochSec() - 29 }) },
  ];

for (const { name, make } of ACCEPTED) {
  test(`access token: ${name} is accepted`, async (t) => {
    const it = await registered(t);
    await it.party.accessTokens.verify(await make(it));
  });
}

const REFUSED: readonly {
  readonly name: string;
  readonly make: (it: Rig) => Promise<string> | string;
}[] = [
  { name: "an ID token of a sign-in", make: async (it) => (await it.signIn()).idToken.reveal() },
  { name: "typ JWT", make: (it) => tokenOf(it, {}, { typ: "JWT" }) },
  { name: "typ logout+jwt", make: (it) => tokenOf(it, {}, { typ: "logout+jwt" }) },
  { name: "no typ", make: (it) => tokenOf(it, {}, { typ: undefined }) },
  { name: "alg none", make: (it) => unsigned(claimsOf(it)) },
  { name: "alg HS256", make: (it) => macSigned(claimsOf(it), "secret") },
  { name: "a changed signature", make: async (it) => flipSignature(await tokenOf(it)) },
  { name: "an unknown key", make: (it) => sign(claimsOf(it), makeKey(), { typ: "at+jwt" }) },
  { name: "another audience", make: (it) => tokenOf(it, { aud: "https://other.example" }) },
  { name: "our client id for audience", make: (it) => tokenOf(it, { aud: "hawser" }) },
  {
    name: "an issuer that is not registered",
    make: (it) => tokenOf(it, { iss: "https://evil.example" }),
  },
  { name: "exp 40 s ago", make: (it) => tokenOf(it, { exp: it.time.epochSec() - 40 }) },
  { name: "iat in an hour", make: (it) => tokenOf(it, { iat: it.time.epochSec() + 3_600 }) },
  { name: "nbf in an hour", make: (it) => tokenOf(it, { nbf: it.time.epochSec() + 3_600 }) },
  { name: "a client that is not registered", make: (it) => tokenOf(it, { client_id: "other" }) },
  { name: "a token that is bound to a key", make: (it) => tokenOf(it, { cnf: { jkt: "x" } }) },
  { name: "scope in an array", make: (it) => tokenOf(it, { scope: ["devices:read"] }) },
  { name: "a text that is no token", make: () => "garbage" },
  { name: "17 KiB", make: () => "a".repeat(17_408) },
  ...["iss", "aud", "exp", "iat", "jti", "client_id", "sub", "scope"].map((claim) => ({
    name: `no ${claim}`,
    make: (it: Rig) => tokenOf(it, { [claim]: undefined }),
  })),
  ...["jti", "client_id", "sub"].flatMap((claim) => [
    { name: `an empty ${claim}`, make: (it: Rig) => tokenOf(it, { [claim]: "" }) },
    { name: `a ${claim} that is a number`, make: (it: Rig) => tokenOf(it, { [claim]: 1 }) },
  ]),
];

for (const { name, make } of REFUSED) {
  test(`access token: ${name} is 401`, async (t) => {
    const it = await registered(t);
    const token = await make(it);
    const error = await rejected(() => it.party.accessTokens.verify(token), INVALID);
    assert.equal(error.row.status, 401);
    assert.equal(error.row.word, "invalid_token");
  });
}

test("access token: one of a person is told apart from one of the client itself", async (t) => {
  const it = await registered(t);
  const token = await tokenOf(it, { sub: "subject-1" });
  assert.equal((await it.party.accessTokens.verify(token)).isMachine, false);
});

test("access token: an unknown issuer causes no call", async (t) => {
  const it = await registered(t);
  const token = await tokenOf(it, { iss: "https://evil.example" });
  await rejected(() => it.party.accessTokens.verify(token), INVALID);
  assert.equal(it.idp.requests.length, 0);
});

test("access token: where none are configured, each is refused", async (t) => {
  const it = await rig(t, { apiJwtIssuers: "", apiJwtAudience: "" });
  const token = await tokenOf(it);
  await rejected(() => it.party.accessTokens.verify(token), INVALID);
});

test("access token: keys that cannot be had are 502 or 503, and no token passes", async (t) => {
  const it = await registered(t);
  const token = await tokenOf(it);
  it.idp.script.answers.set("/jwks", plain(500, "no"));
  await rejected(() => it.party.accessTokens.verify(token), "ERR_OIDC_IDP_RESPONSE");
  await it.idp.stop();
  it.time.advance(5_000);
  await rejected(() => it.party.accessTokens.verify(token), "ERR_OIDC_IDP_UNREACHABLE");
});

test("access token: an issuer of access tokens needs no pages", async (t) => {
  const it = await registered(t);
  it.idp.script.metadata = {
    authorization_endpoint: undefined,
    code_challenge_methods_supported: undefined,
  };
  await it.party.accessTokens.verify(await tokenOf(it));
});
