/** The plan `oidcc-client-basic-certification-test-plan` of the OpenID conformance suite, module by module. */
import assert from "node:assert/strict";
import test from "node:test";
import { flipSignature, makeKey, publicKeys, unsigned } from "../../support/oidc/keys.ts";
import { BASE_URL, CLIENT_SECRET, rig } from "../../support/oidc/rig.ts";
import { SUBJECT } from "../../support/oidc/scripted-idp.ts";

test("oidcc-client-test: a sign-in in order is accepted", async (t) => {
  const { signIn, idp } = await rig(t);
  const { identity, returnTo } = await signIn();
  assert.equal(identity.issuer, idp.issuer);
  assert.equal(identity.sub, SUBJECT);
  assert.equal(identity.sid, "idp-session-1");
  assert.equal(returnTo, `${BASE_URL}/devices`);
});

test("oidcc-client-test-invalid-iss: another issuer is refused", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.claims = { iss: `${idp.issuer}/other` };
  await refused("ERR_OIDC_CLAIM_MISMATCH");
});

test("oidcc-client-test-missing-sub: an ID token without sub is refused", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.claims = { sub: undefined };
  await refused("ERR_OIDC_ID_TOKEN_INVALID");
});

test("oidcc-client-test-invalid-aud: another audience is refused", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.claims = { aud: "another-client" };
  await refused("ERR_OIDC_CLAIM_MISMATCH");
});

test("oidcc-client-test-missing-iat: an ID token without iat is refused", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.claims = { iat: undefined };
  await refused("ERR_OIDC_ID_TOKEN_INVALID");
});

test("oidcc-client-test-kid-absent-single-jwks: the one key is used", async (t) => {
  const { signIn, idp } = await rig(t);
  idp.script.header = { kid: undefined };
  idp.script.jwks = () => publicKeys(idp.keys, false);
  assert.equal((await signIn()).identity.sub, SUBJECT);
});

test("oidcc-client-test-kid-absent-multiple-jwks: an ambiguous key is refused", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.header = { kid: undefined };
  idp.keys = [...idp.keys, makeKey()];
  await refused("ERR_OIDC_KEY_UNKNOWN");
});

test("oidcc-client-test-idtoken-sig-rs256: a signature with RS256 is accepted", async (t) => {
  const { signIn, idp } = await rig(t);
  idp.script.metadata = { id_token_signing_alg_values_supported: ["RS256"] };
  assert.equal((await signIn()).identity.sub, SUBJECT);
});

test("oidcc-client-test-idtoken-sig-none: no signature is refused, even if the metadata offers none", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.metadata = { id_token_signing_alg_values_supported: ["none", "RS256"] };
  idp.script.idToken = unsigned;
  await refused("ERR_OIDC_ID_TOKEN_INVALID");
});

test("oidcc-client-test-invalid-sig-rs256: a changed signature is refused", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.idToken = async (claims) => flipSignature(await idp.sign(claims));
  const error = await refused("ERR_OIDC_ID_TOKEN_INVALID");
  assert.equal(error.row.status, 400);
  assert.equal(error.row.severity, "high");
});

test("oidcc-client-test-userinfo-invalid-sub: user information of somebody else is refused", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.userinfo = { sub: "somebody-else", name: "Eve", email: "eve@example.org" };
  assert.equal((await refused("ERR_OIDC_USERINFO_SUBJECT")).row.status, 400);
});

test("oidcc-client-test-nonce-invalid: another nonce is refused", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.claims = { nonce: "another-nonce" };
  await refused("ERR_OIDC_CLAIM_MISMATCH");
});

test("oidcc-client-test-scope-userinfo-claims: name and e-mail come from the userinfo endpoint", async (t) => {
  const { begin, browser, party, idp } = await rig(t);
  const url = await begin();
  assert.equal(new URL(url).searchParams.get("scope"), "openid profile email");
  const { identity } = await party.signIn.finish(idp.authorize(url), browser);
  assert.equal(identity.name, "Ada Example");
  assert.equal(identity.email, "ada@example.org");
  assert.equal(idp.hits("/userinfo"), 1);
});

test("oidcc-client-test-client-secret-basic: the secret goes into Authorization and nowhere else", async (t) => {
  const { signIn, idp } = await rig(t);
  await signIn();
  const { authorization, form } = idp.tokenRequest;
  const basic = Buffer.from(`hawser:${encodeURIComponent(CLIENT_SECRET)}`).toString("base64");
  const decoded = Buffer.from((authorization ?? "").replace("Basic ", ""), "base64").toString();
  assert.ok(
    authorization === `Basic ${basic}` || decodeURIComponent(decoded) === `hawser:${CLIENT_SECRET}`,
  );
  assert.equal(form.has("client_secret"), false);
});
