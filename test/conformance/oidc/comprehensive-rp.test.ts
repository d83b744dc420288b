/** Modules of `oidcc-client-test-plan` that apply, and of the FAPI 2 client plans, borrowed as plain tests. */
import assert from "node:assert/strict";
import test from "node:test";
import { macSigned, makeKey, sign, unsigned } from "../../support/oidc/keys.ts";
import { CLIENT_SECRET, rig } from "../../support/oidc/rig.ts";
import { SUBJECT } from "../../support/oidc/scripted-idp.ts";

test("oidcc-client-test-missing-aud: an ID token without aud is refused", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.claims = { aud: undefined };
  await refused("ERR_OIDC_ID_TOKEN_INVALID");
});

test("oidcc-client-test-invalid-sig-hs256: a MAC is refused, even if the metadata offers it and it is right", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.metadata = { id_token_signing_alg_values_supported: ["HS256", "RS256"] };
  idp.script.idToken = (claims) => macSigned(claims, CLIENT_SECRET);
  await refused("ERR_OIDC_ID_TOKEN_INVALID");
});

test("oidcc-client-test-invalid-sig-es256: a signature by a key that is not published is refused", async (t) => {
  const { refused, idp } = await rig(t);
  const published = makeKey("ES256");
  const other = { ...makeKey("ES256"), kid: published.kid };
  idp.keys = [published];
  idp.script.idToken = (claims) => sign(claims, other);
  await refused("ERR_OIDC_ID_TOKEN_INVALID");
});

test("oidcc-client-test-userinfo-bearer-header: the access token goes into Authorization", async (t) => {
  const { signIn, idp } = await rig(t);
  idp.script.tokenResponse = { access_token: "token-for-userinfo" };
  idp.script.claims = { at_hash: undefined };
  await signIn();
  const request = idp.requests.find(({ path }) => path === "/userinfo");
  assert.equal(request?.authorization, "Bearer token-for-userinfo");
  assert.equal(request?.form.size, 0);
});

test("ensure-authorization-response-with-invalid-state-fails", async (t) => {
  const { refused, idp, browser } = await rig(t);
  await refused("ERR_OIDC_SIGN_IN_EXPIRED", { state: "A".repeat(43) });
  assert.equal(idp.hits("/token"), 0);
  assert.equal(browser.size, 1, "the sign-in that runs is left alone");
});

test("ensure-authorization-response-with-invalid-missing-state-fails", async (t) => {
  const { refused, idp, browser } = await rig(t);
  await refused("ERR_OIDC_CALLBACK_INVALID", { state: undefined });
  assert.equal(idp.hits("/token"), 0);
  assert.equal(browser.size, 1);
});

test("invalid-authorization-response-iss: another iss is refused before a token request", async (t) => {
  const { refused, idp } = await rig(t);
  await refused("ERR_OIDC_CALLBACK_INVALID", { iss: "https://evil.example" });
  assert.equal(idp.hits("/token"), 0);
});

test("remove-authorization-response-iss: a missing iss is refused where the metadata promises it", async (t) => {
  const { refused, idp } = await rig(t);
  await refused("ERR_OIDC_CALLBACK_INVALID", { iss: undefined });
  assert.equal(idp.hits("/token"), 0);
});

test("remove-authorization-response-iss: it may be missing where nothing is promised, but not differ", async (t) => {
  const { signIn, refused, idp } = await rig(t);
  idp.script.metadata = { authorization_response_iss_parameter_supported: undefined };
  await signIn({ iss: undefined });
  await refused("ERR_OIDC_CALLBACK_INVALID", { iss: "https://evil.example" });
});

test("invalid-secondary-aud: a second audience without azp is refused", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.claims = { aud: ["hawser", "another-client"] };
  await refused("ERR_OIDC_CLAIM_MISMATCH");
});

test("valid-aud-as-array: an array with us alone is accepted", async (t) => {
  const { signIn, idp } = await rig(t);
  idp.script.claims = { aud: ["hawser"] };
  assert.equal((await signIn()).identity.sub, SUBJECT);
});

test("invalid-missing-exp", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.claims = { exp: undefined };
  await refused("ERR_OIDC_ID_TOKEN_INVALID");
});

test("invalid-expired-exp", async (t) => {
  const { refused, idp, time } = await rig(t);
  idp.script.claims = { exp: time.epochSec() - 40 };
  await refused("ERR_OIDC_TOKEN_TIME");
});

test("invalid-missing-nonce", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.claims = { nonce: undefined };
  await refused("ERR_OIDC_ID_TOKEN_INVALID");
});

test("invalid-null-alg", async (t) => {
  const { refused, idp } = await rig(t);
  idp.script.idToken = (claims) => unsigned(claims).replace(/^[^.]*/, encodedNullAlg());
  await refused("ERR_OIDC_ID_TOKEN_INVALID");
});

test("invalid-alternate-alg: an algorithm that is not on our list is refused", async (t) => {
  const { refused, idp } = await rig(t, { oidcAlgs: "RS256" });
  idp.keys = [makeKey("ES256")];
  await refused("ERR_OIDC_ID_TOKEN_INVALID");
});

test("iat-is-week-in-past", async (t) => {
  const { refused, idp, time } = await rig(t);
  idp.script.claims = { iat: time.epochSec() - 7 * 86_400 };
  await refused("ERR_OIDC_TOKEN_TIME");
});

test("token-type-case-insensitivity", async (t) => {
  const { signIn, idp } = await rig(t);
  idp.script.tokenResponse = { token_type: "bEaReR" };
  await signIn();
});

test("token-endpoint-response-without-expires_in", async (t) => {
  const { signIn, idp } = await rig(t);
  idp.script.tokenResponse = { expires_in: undefined };
  await signIn();
});

test("no-scope-in-token-endpoint-response", async (t) => {
  const { signIn, idp } = await rig(t);
  idp.script.tokenResponse = { scope: undefined };
  await signIn();
});

for (const alg of ["ES256", "PS256", "EdDSA"] as const) {
  test(`a signature with ${alg} is accepted`, async (t) => {
    const { signIn, idp } = await rig(t);
    idp.keys = [makeKey(alg)];
    // Ed25519 goes with SHA-512, and the ordinary at_hash is made with SHA-256.
    if (alg === "EdDSA") idp.script.claims = { at_hash: undefined };
    assert.equal((await signIn()).identity.sub, SUBJECT);
  });
}

function encodedNullAlg(): string {
  return Buffer.from('{"alg":null}').toString("base64url");
}
