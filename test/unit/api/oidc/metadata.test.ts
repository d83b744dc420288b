import assert from "node:assert/strict";
import test from "node:test";
import { OidcError } from "../../../../src/api/oidc/index.ts";
import {
  checkMetadata,
  isSameIssuer,
  type MetadataRules,
} from "../../../../src/api/oidc/metadata.ts";

const rules: MetadataRules = {
  issuer: "https://idp.example.org",
  purpose: "sign-in",
  algs: ["RS256", "ES256"],
  allowInsecure: false,
  assumeS256: false,
};
const server = {
  issuer: "https://idp.example.org",
  authorization_endpoint: "https://idp.example.org/authorize",
  token_endpoint: "https://idp.example.org/token",
  jwks_uri: "https://keys.example.net/jwks",
  code_challenge_methods_supported: ["plain", "S256"],
  id_token_signing_alg_values_supported: ["none", "HS256", "ES256"],
};

test("metadata: what is needed is read, and the algorithms are those of both sides", () => {
  const metadata = checkMetadata(server, rules);
  assert.equal(metadata.jwksUri, "https://keys.example.net/jwks");
  assert.deepEqual(metadata.algs, ["ES256"]);
  assert.equal(metadata.endSessionEndpoint, null);
  assert.equal(metadata.userinfoEndpoint, null);
  assert.equal(metadata.issRequired, false);
});

test("metadata: an issuer is the same as itself, and as its bare origin with a slash", () => {
  assert.ok(isSameIssuer("https://idp.example.org", "https://idp.example.org"));
  assert.ok(isSameIssuer("https://idp.example.org/", "https://idp.example.org"));
  const pairs = [
    ["https://idp.example.org/realm/", "https://idp.example.org/realm"],
    ["https://IDP.example.org", "https://idp.example.org"],
    ["https://idp.example.org:443", "https://idp.example.org"],
    ["http://idp.example.org", "https://idp.example.org"],
    ["https://idp.example.org.evil.example", "https://idp.example.org"],
  ] as const;
  for (const [left, right] of pairs) assert.ok(!isSameIssuer(left, right), left);
});

test("metadata: another issuer is refused, for vendors that answer with another one, too", () => {
  for (const issuer of [
    "https://evil.example",
    "https://login.microsoftonline.com/{tenantid}/v2.0",
    "https://idp.example.org/realm",
  ]) {
    const call = (): unknown => checkMetadata({ ...server, issuer }, rules);
    assert.throws(
      call,
      (error) => error instanceof OidcError && error.code === "ERR_OIDC_METADATA",
    );
  }
});

test("metadata: plain http is for loopback with the switch alone", () => {
  const local = { ...server, token_endpoint: "http://127.0.0.1:9/token" };
  assert.throws(() => checkMetadata(local, rules));
  checkMetadata(local, { ...rules, allowInsecure: true });
  const remote = { ...server, token_endpoint: "http://10.0.0.1/token" };
  assert.throws(() => checkMetadata(remote, { ...rules, allowInsecure: true }));
});
