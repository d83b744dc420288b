/** The plan `oidcc-client-config-certification-test-plan`, and what discovery and keys must do beyond it. */
import assert from "node:assert/strict";
import test from "node:test";
import { makeKey, publicKeys, sign, unsigned } from "../../support/oidc/keys.ts";
import { rejected, rig } from "../../support/oidc/rig.ts";
import { json, plain, SUBJECT } from "../../support/oidc/scripted-idp.ts";

const DISCOVERY = "/.well-known/openid-configuration";

test("oidcc-client-test-discovery-openid-config: the endpoints are those of the metadata", async (t) => {
  const { begin, idp } = await rig(t);
  idp.script.metadata = { authorization_endpoint: `${idp.issuer}/elsewhere?keep=1` };
  const url = new URL(await begin());
  assert.equal(url.pathname, "/elsewhere");
  assert.equal(url.searchParams.get("keep"), "1");
  assert.equal(idp.hits(DISCOVERY), 1);
});

test("oidcc-client-test-discovery-jwks-uri-keys: the keys come from jwks_uri", async (t) => {
  const { signIn, idp } = await rig(t);
  idp.script.metadata = { jwks_uri: `${idp.issuer}/other-keys` };
  idp.script.answers.set("/other-keys", (response) => json(response, 200, publicKeys(idp.keys)));
  await signIn();
  assert.equal(idp.hits("/other-keys"), 1);
  assert.equal(idp.hits("/jwks"), 0);
});

test("oidcc-client-test-discovery-issuer-mismatch: metadata of another issuer is refused", async (t) => {
  const { begin, idp, party } = await rig(t);
  idp.script.metadata = { issuer: `${idp.issuer}/another` };
  const error = await rejected(begin, "ERR_OIDC_METADATA");
  assert.equal(error.row.severity, "alarm");
  assert.equal(party.state, "down");
});

test("oidcc-client-test-idtoken-sig-none (config plan): refused without metadata about it, too", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.metadata = { id_token_signing_alg_values_supported: undefined };
  idp.script.idToken = unsigned;
  await refused("ERR_OIDC_ID_TOKEN_INVALID");
});

test("oidcc-client-test-signing-key-rotation-just-before-signing: the new key is fetched at once", async (t) => {
  const { signIn, idp } = await rig(t);
  await signIn();
  assert.equal(idp.hits("/jwks"), 1);
  idp.keys = [makeKey()];
  assert.equal((await signIn()).identity.sub, SUBJECT);
  assert.equal(idp.hits("/jwks"), 2);
});

test("oidcc-client-test-signing-key-rotation: sign-ins before and after a rotation pass", async (t) => {
  const { signIn, idp, time } = await rig(t);
  await signIn();
  idp.keys = [makeKey(), ...idp.keys];
  await signIn();
  time.advance(6_000);
  idp.keys = [makeKey("ES256")];
  await signIn();
  assert.equal(idp.hits("/jwks"), 3);
});

test("keys: 1,000 tokens with unknown kids cause two fetches in 5 s, and one more later", async (t) => {
  const { party, idp, time } = await rig(t);
  const [key] = idp.keys;
  assert.ok(key !== undefined);
  const send = async (kid: string): Promise<void> => {
    const token = await sign({ iss: idp.issuer }, key, { kid, typ: "logout+jwt" });
    const body = new TextEncoder().encode(`logout_token=${token}`);
    await rejected(
      () => party.backchannelLogout.receive("application/x-www-form-urlencoded", body),
      "ERR_OIDC_LOGOUT_TOKEN_INVALID",
    );
  };
  await Promise.all(Array.from({ length: 1_000 }, (_, index) => send(`unknown-${index}`)));
  assert.equal(idp.hits("/jwks"), 2);
  time.advance(5_000);
  await Promise.all([send("a"), send("b"), send("c")]);
  assert.equal(idp.hits("/jwks"), 3);
});

test("keys: a stale copy serves while the endpoint is down, for an hour", async (t) => {
  const { signIn, refused, idp, time } = await rig(t);
  await signIn();
  idp.script.answers.set("/jwks", plain(500, "no"));
  time.advance(3_500_000);
  assert.equal((await signIn()).identity.sub, SUBJECT);
  time.advance(200_000);
  await refused("ERR_OIDC_IDP_RESPONSE");
});

test("keys: after ten minutes they are fetched again", async (t) => {
  const { signIn, idp, time } = await rig(t);
  await signIn();
  time.advance(599_000);
  await signIn();
  assert.equal(idp.hits("/jwks"), 1);
  time.advance(1_000);
  await signIn();
  assert.equal(idp.hits("/jwks"), 2);
});

test("discovery: many sign-ins at once share one request", async (t) => {
  const { begin, idp } = await rig(t);
  const urls = await Promise.all(Array.from({ length: 20 }, () => begin()));
  assert.equal(new Set(urls).size, 20);
  assert.equal(idp.hits(DISCOVERY), 1);
});

test("discovery: a provider that is down at the start comes back without a restart", async (t) => {
  const { begin, idp, party, log } = await rig(t);
  await idp.stop();
  assert.equal(party.state, "unknown");
  const error = await rejected(begin, "ERR_OIDC_IDP_UNREACHABLE");
  assert.equal(error.row.status, 503);
  assert.equal(error.row.retryAfter, 30);
  assert.equal(party.state, "down");
  await idp.restart();
  assert.match(await begin(), /\/authorize\?/);
  assert.equal(party.state, "up");
  assert.ok(log.lines.some((line) => line.includes("identity provider is back")));
});

test("discovery: it is retried in the background, 1 to 60 s apart", async (t) => {
  const { idp, party, time } = await rig(t);
  idp.script.answers.set(DISCOVERY, plain(404, "{}"));
  party.warmUp();
  const delays: number[] = [];
  for (let round = 0; round < 8; round++) {
    while (time.nextDelayMs === null || time.nextDelayMs === 5_000) await nextTurn();
    delays.push(time.nextDelayMs);
    const arrival = idp.arrival(DISCOVERY);
    if (round === 7) idp.script.answers.delete(DISCOVERY);
    time.advance(time.nextDelayMs);
    await arrival;
    while (time.nextDelayMs === 5_000) await nextTurn();
  }
  // Half of the ceilings 2, 4, 8 … 60 s, by the fixed random number.
  assert.deepEqual(delays, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  assert.equal(party.state, "up");
  assert.equal(time.nextDelayMs, 3_600_000);
});

test("discovery: the last good copy serves while a refresh fails", async (t) => {
  const { signIn, idp, party, time } = await rig(t);
  await signIn();
  idp.script.answers.set(DISCOVERY, plain(500, "no"));
  const arrival = idp.arrival(DISCOVERY);
  time.advance(3_600_000);
  await arrival;
  while (party.state === "up") await nextTurn();
  assert.equal(party.state, "stale");
  assert.equal((await signIn()).identity.sub, SUBJECT);
});

test("discovery: a redirect is not followed", async (t) => {
  const { begin, idp } = await rig(t);
  const location = `${idp.issuer}/trap`;
  idp.script.answers.set(DISCOVERY, plain(302, "", { location }));
  assert.equal((await rejected(begin, "ERR_OIDC_IDP_RESPONSE")).row.status, 502);
  assert.equal(idp.hits("/trap"), 0);
});

const VARIANTS: readonly {
  readonly name: string;
  readonly metadata: object;
  readonly ok: boolean;
}[] = [
  { name: "no authorization_endpoint", metadata: { authorization_endpoint: undefined }, ok: false },
  { name: "no token_endpoint", metadata: { token_endpoint: undefined }, ok: false },
  { name: "no jwks_uri", metadata: { jwks_uri: undefined }, ok: false },
  { name: "no PKCE methods", metadata: { code_challenge_methods_supported: undefined }, ok: false },
  { name: "plain PKCE only", metadata: { code_challenge_methods_supported: ["plain"] }, ok: false },
  {
    name: "no algorithm of ours",
    metadata: { id_token_signing_alg_values_supported: ["HS256", "none"] },
    ok: false,
  },
  {
    name: "plain http elsewhere",
    metadata: { token_endpoint: "http://idp.example/token" },
    ok: false,
  },
  {
    name: "a script for an endpoint",
    metadata: { authorization_endpoint: "javascript:alert(1)" },
    ok: false,
  },
  { name: "no end_session_endpoint", metadata: { end_session_endpoint: undefined }, ok: true },
  { name: "no revocation_endpoint", metadata: { revocation_endpoint: undefined }, ok: true },
  { name: "no userinfo_endpoint", metadata: { userinfo_endpoint: undefined }, ok: true },
];

for (const { name, metadata, ok } of VARIANTS) {
  test(`metadata: ${name} is ${ok ? "taken" : "refused"}`, async (t) => {
    const { signIn, begin, idp } = await rig(t);
    idp.script.metadata = { ...metadata };
    if (ok) await signIn();
    else await rejected(begin, "ERR_OIDC_METADATA");
  });
}

test("metadata: S256 may be taken for granted by a setting", async (t) => {
  const { signIn, idp } = await rig(t, { oidcAssumeS256: true });
  idp.script.metadata = { code_challenge_methods_supported: undefined };
  await signIn();
});

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
