import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import test from "node:test";
import { inspect } from "node:util";
import { checkOidcOptions, type OidcOptions } from "../../../../src/api/oidc/index.ts";
import { ConfigError } from "../../../../src/core/errors.ts";

const SECRET = "canary-secret-31b7f0d2";
const GOOD: OidcOptions = {
  publicBaseUrl: "https://app.example.org",
  oidcIssuer: "https://idp.example.org/realm",
  oidcClientId: "hawser",
  oidcClientAuth: "client_secret_basic",
  oidcClientSecret: SECRET,
};

function pem(key: { export(options: { type: "pkcs8"; format: "pem" }): string | Buffer }): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

function problemsOf(options: OidcOptions): string[] {
  try {
    checkOidcOptions(options);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    assert.ok(!error.message.includes(SECRET));
    return error.problems.map(({ setting }) => setting);
  }
}

test("options: good ones become settings, with their defaults", () => {
  const settings = checkOidcOptions(GOOD);
  assert.equal(settings.redirectUri, "https://app.example.org/api/auth/callback");
  assert.equal(settings.postLogoutRedirectUri, "https://app.example.org/api/auth/logged-out");
  assert.deepEqual(settings.scopes, ["openid", "profile", "email"]);
  assert.deepEqual(settings.algs, ["RS256", "PS256", "ES256", "EdDSA"]);
  assert.equal(settings.clockToleranceSec, 30);
  assert.equal(settings.allowInsecure, false);
  assert.deepEqual(settings.warnings, []);
});

test("options: all problems are reported at once", () => {
  assert.deepEqual(
    problemsOf({ oidcClockToleranceSec: 121, oidcScopes: "profile", oidcAlgs: "none" }),
    [
      "publicBaseUrl",
      "oidcIssuer",
      "oidcClientId",
      "oidcClientAuth",
      "oidcScopes",
      "oidcAlgs",
      "oidcClockToleranceSec",
    ],
  );
});

const BAD: readonly {
  readonly name: string;
  readonly patch: OidcOptions;
  readonly settings: readonly string[];
}[] = [
  {
    name: "plain http for people",
    patch: { publicBaseUrl: "http://app.example.org" },
    settings: ["publicBaseUrl"],
  },
  {
    name: "a base with a path",
    patch: { publicBaseUrl: "https://app.example.org/x" },
    settings: ["publicBaseUrl"],
  },
  {
    name: "a base with a user",
    patch: { publicBaseUrl: "https://a:b@app.example.org" },
    settings: ["publicBaseUrl"],
  },
  {
    name: "a base that is no URL",
    patch: { publicBaseUrl: "app.example.org" },
    settings: ["publicBaseUrl"],
  },
  {
    name: "an issuer in plain http",
    patch: { oidcIssuer: "http://idp.example.org" },
    settings: ["oidcIssuer"],
  },
  {
    name: "the same with the switch",
    patch: { oidcIssuer: "http://idp.example.org", oidcAllowInsecure: true },
    settings: ["oidcIssuer"],
  },
  {
    name: "loopback without the switch",
    patch: { oidcIssuer: "http://127.0.0.1:9000" },
    settings: ["oidcIssuer"],
  },
  {
    name: "the metadata's address",
    patch: { oidcIssuer: "https://idp.example.org/.well-known/openid-configuration" },
    settings: ["oidcIssuer"],
  },
  {
    name: "an issuer with a query",
    patch: { oidcIssuer: "https://idp.example.org/?a=b" },
    settings: ["oidcIssuer"],
  },
  { name: "no client id", patch: { oidcClientId: "" }, settings: ["oidcClientId"] },
  { name: "an unknown method", patch: { oidcClientAuth: "basic" }, settings: ["oidcClientAuth"] },
  {
    name: "a public client with a secret",
    patch: { oidcClientAuth: "none" },
    settings: ["oidcClientSecret"],
  },
  {
    name: "basic with an empty secret",
    patch: { oidcClientSecret: "" },
    settings: ["oidcClientSecret"],
  },
  {
    name: "basic with blanks for a secret",
    patch: { oidcClientSecret: "  " },
    settings: ["oidcClientSecret"],
  },
  {
    name: "post without a secret",
    patch: { oidcClientAuth: "client_secret_post", oidcClientSecret: undefined },
    settings: ["oidcClientSecret"],
  },
  {
    name: "a placeholder",
    patch: { oidcClientSecret: "changeme" },
    settings: ["oidcClientSecret"],
  },
  {
    name: "one character over and over",
    patch: { oidcClientSecret: "aaaaaaaaaaaaaaaa" },
    settings: ["oidcClientSecret"],
  },
  {
    name: "a key method without a key",
    patch: { oidcClientAuth: "private_key_jwt", oidcClientSecret: "" },
    settings: ["oidcClientPrivateKey"],
  },
  {
    name: "a key method with a secret",
    patch: { oidcClientAuth: "private_key_jwt" },
    settings: ["oidcClientSecret", "oidcClientPrivateKey"],
  },
  {
    name: "a key beside a secret",
    patch: { oidcClientPrivateKey: "x" },
    settings: ["oidcClientPrivateKey"],
  },
  { name: "HS256 on the list", patch: { oidcAlgs: "RS256,HS256" }, settings: ["oidcAlgs"] },
  {
    name: "offline_access without refresh",
    patch: { oidcScopes: "openid offline_access" },
    settings: ["oidcScopes"],
  },
  { name: "a malformed scope", patch: { oidcScopes: 'openid "x"' }, settings: ["oidcScopes"] },
  {
    name: "a tolerance below zero",
    patch: { oidcClockToleranceSec: -1 },
    settings: ["oidcClockToleranceSec"],
  },
  {
    name: "a tolerance that is no number",
    patch: { oidcClockToleranceSec: Number.NaN },
    settings: ["oidcClockToleranceSec"],
  },
  {
    name: "no checks of certificates",
    patch: { tlsRejectUnauthorized: "0" },
    settings: ["tlsRejectUnauthorized"],
  },
  {
    name: "issuers without an audience",
    patch: { apiJwtIssuers: "https://idp.example.org" },
    settings: ["apiJwtAudience"],
  },
  {
    name: "an issuer of tokens in plain http",
    patch: { apiJwtIssuers: "http://idp.example.org", apiJwtAudience: "a" },
    settings: ["apiJwtIssuers"],
  },
  { name: "an odd rotation", patch: { oidcRtRotation: "yes" }, settings: ["oidcRtRotation"] },
];

for (const { name, patch, settings } of BAD) {
  test(`options: ${name} is refused`, () => {
    assert.deepEqual(problemsOf({ ...GOOD, ...patch }), settings);
  });
}

test("options: a secret without a method means client_secret_basic", () => {
  const settings = checkOidcOptions({ ...GOOD, oidcClientAuth: "" });
  assert.equal(settings.credentials.method, "client_secret_basic");
});

test("options: a public client is warned of, and gets refresh tokens only where they rotate", () => {
  const open: OidcOptions = {
    ...GOOD,
    oidcClientAuth: "none",
    oidcClientSecret: "",
    oidcRefresh: true,
  };
  const settings = checkOidcOptions(open);
  assert.equal(settings.refresh, false);
  assert.ok(!settings.scopes.includes("offline_access"));
  assert.equal(settings.warnings.length, 2);
  const confirmed = checkOidcOptions({ ...open, oidcRtRotation: "confirmed" });
  assert.ok(confirmed.scopes.includes("offline_access"));
});

test("options: loopback in plain http needs the switch, and is warned of", () => {
  for (const oidcIssuer of ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"]) {
    const settings = checkOidcOptions({ ...GOOD, oidcIssuer, oidcAllowInsecure: true });
    assert.equal(settings.allowInsecure, true);
    assert.equal(settings.warnings.length, 1);
  }
  assert.equal(checkOidcOptions({ ...GOOD, oidcAllowInsecure: true }).allowInsecure, false);
});

test("options: keys of RSA, P-256 and Ed25519 are taken, small and other ones are not", () => {
  const base: OidcOptions = { ...GOOD, oidcClientAuth: "private_key_jwt", oidcClientSecret: "" };
  const methodOf = (oidcClientPrivateKey: string): string => {
    const { credentials } = checkOidcOptions({ ...base, oidcClientPrivateKey });
    assert.ok(credentials.method === "private_key_jwt");
    return credentials.alg;
  };
  assert.equal(
    methodOf(pem(generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey)),
    "RS256",
  );
  assert.equal(
    methodOf(pem(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey)),
    "ES256",
  );
  assert.equal(methodOf(pem(generateKeyPairSync("ed25519").privateKey)), "EdDSA");
  const refused = [
    pem(generateKeyPairSync("rsa", { modulusLength: 1_024 }).privateKey),
    pem(generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey),
    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
  ];
  for (const oidcClientPrivateKey of refused) {
    assert.deepEqual(problemsOf({ ...base, oidcClientPrivateKey }), ["oidcClientPrivateKey"]);
  }
});

test("options: settings can be shown without showing a secret", () => {
  const settings = checkOidcOptions(GOOD);
  const shown = `${JSON.stringify(settings)}${inspect(settings, { depth: 9, showHidden: true })}`;
  assert.ok(!shown.includes(SECRET));
  assert.ok(shown.includes("[secret]"));
});
