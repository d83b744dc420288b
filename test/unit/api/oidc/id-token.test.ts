/** What the verification of ID tokens holds by itself, without the library in front of it. */
import assert from "node:assert/strict";
import test from "node:test";
import { type IdTokenRules, verifyIdToken } from "../../../../src/api/oidc/id-token.ts";
import type { OidcErrorCode } from "../../../../src/api/oidc/index.ts";
import { KeySet } from "../../../../src/api/oidc/key-set.ts";
import { flipSignature, makeKey, publicKeys, sign } from "../../../support/oidc/keys.ts";
import { TestTime } from "../../../support/oidc/ports.ts";
import { rejected } from "../../../support/oidc/rig.ts";

const key = makeKey("ES256");
const time = new TestTime();
const keys = new KeySet(async () => publicKeys([key]), time);
const rules: IdTokenRules = {
  issuer: "https://idp.example.org",
  clientId: "hawser",
  algs: ["ES256"],
  clockToleranceSec: 30,
  nonce: "nonce",
  accessToken: "access-token",
  authTimeLeast: null,
};
const claims = {
  iss: rules.issuer,
  aud: "hawser",
  sub: "subject",
  nonce: "nonce",
  iat: time.epochSec(),
  exp: time.epochSec() + 60,
};

test("ID token: one in order passes", async () => {
  const token = await sign(claims, key);
  assert.equal((await verifyIdToken(token, keys, time, rules)).sub, "subject");
});

const REFUSED: readonly (readonly [string, object, Partial<IdTokenRules>, OidcErrorCode])[] = [
  ["another nonce", { nonce: "other" }, {}, "ERR_OIDC_CLAIM_MISMATCH"],
  ["another issuer", { iss: "https://evil.example" }, {}, "ERR_OIDC_CLAIM_MISMATCH"],
  ["another audience", { aud: "other" }, {}, "ERR_OIDC_CLAIM_MISMATCH"],
  ["an algorithm that is not ours", {}, { algs: ["RS256"] }, "ERR_OIDC_ID_TOKEN_INVALID"],
  ["an exp that is past by our clock", { exp: time.epochSec() - 31 }, {}, "ERR_OIDC_TOKEN_TIME"],
  [
    "an nbf that is to come by our clock",
    { nbf: time.epochSec() + 31 },
    {},
    "ERR_OIDC_CLAIM_MISMATCH",
  ],
];

for (const [name, patch, ruled, code] of REFUSED) {
  test(`ID token: ${name} is refused`, async () => {
    const token = await sign({ ...claims, ...patch }, key);
    await rejected(() => verifyIdToken(token, keys, time, { ...rules, ...ruled }), code);
  });
}

test("ID token: a changed signature is refused before any claim is looked at", async () => {
  const token = flipSignature(await sign({ ...claims, nonce: "other" }, key));
  await rejected(() => verifyIdToken(token, keys, time, rules), "ERR_OIDC_ID_TOKEN_INVALID");
});
