/** Every claim of an ID token, right and wrong: what the library measures, and what it leaves to us. */
import assert from "node:assert/strict";
import test from "node:test";
import type { OidcErrorCode } from "../../../src/api/oidc/index.ts";
import { rig } from "../../support/oidc/rig.ts";
import type { Claims } from "../../support/oidc/scripted-idp.ts";

interface Row {
  readonly name: string;
  readonly claims?: (nowSec: number) => Claims;
  readonly header?: Claims;
  readonly tokens?: Claims;
  /** Null where it must be accepted. */
  readonly code: OidcErrorCode | null;
}

const INVALID = "ERR_OIDC_ID_TOKEN_INVALID";
const MISMATCH = "ERR_OIDC_CLAIM_MISMATCH";
const TIME = "ERR_OIDC_TOKEN_TIME";

const ROWS: readonly Row[] = [
  { name: "iss wrong", claims: () => ({ iss: "https://evil.example" }), code: MISMATCH },
  { name: "aud wrong", claims: () => ({ aud: "other" }), code: MISMATCH },
  { name: "aud array without azp", claims: () => ({ aud: ["hawser", "other"] }), code: MISMATCH },
  {
    name: "aud array, azp another",
    claims: () => ({ aud: ["hawser", "other"], azp: "other" }),
    code: MISMATCH,
  },
  {
    name: "aud array, azp us",
    claims: () => ({ aud: ["hawser", "other"], azp: "hawser" }),
    code: null,
  },
  { name: "aud single, azp us", claims: () => ({ azp: "hawser" }), code: null },
  { name: "aud single, azp another", claims: () => ({ azp: "other" }), code: MISMATCH },
  { name: "aud empty array", claims: () => ({ aud: [] }), code: MISMATCH },
  { name: "sub missing", claims: () => ({ sub: undefined }), code: INVALID },
  { name: "sub empty", claims: () => ({ sub: "" }), code: INVALID },
  { name: "sub a number", claims: () => ({ sub: 7 }), code: INVALID },
  { name: "sub of 10 KB", claims: () => ({ sub: "s".repeat(10_240) }), code: INVALID },
  { name: "sub of 256 characters", claims: () => ({ sub: "s".repeat(256) }), code: INVALID },
  { name: "iat missing", claims: () => ({ iat: undefined }), code: INVALID },
  { name: "iat a text", claims: (now) => ({ iat: String(now) }), code: INVALID },
  { name: "iat in 29 s", claims: (now) => ({ iat: now + 29 }), code: null },
  { name: "iat in an hour", claims: (now) => ({ iat: now + 3_600 }), code: TIME },
  { name: "iat 9 minutes ago", claims: (now) => ({ iat: now - 540 }), code: null },
  { name: "iat 11 minutes ago", claims: (now) => ({ iat: now - 660 }), code: TIME },
  { name: "iat a week ago", claims: (now) => ({ iat: now - 604_800 }), code: TIME },
  { name: "exp missing", claims: () => ({ exp: undefined }), code: INVALID },
  { name: "exp 20 s ago", claims: (now) => ({ exp: now - 20 }), code: null },
  { name: "exp 29 s ago", claims: (now) => ({ exp: now - 29 }), code: null },
  { name: "exp 31 s ago", claims: (now) => ({ exp: now - 31 }), code: TIME },
  { name: "exp 40 s ago", claims: (now) => ({ exp: now - 40 }), code: TIME },
  { name: "nbf in an hour", claims: (now) => ({ nbf: now + 3_600 }), code: TIME },
  { name: "nonce missing", claims: () => ({ nonce: undefined }), code: INVALID },
  { name: "nonce wrong", claims: () => ({ nonce: "other" }), code: MISMATCH },
  { name: "at_hash wrong", claims: () => ({ at_hash: "AAAAAAAAAAAAAAAAAAAAAA" }), code: MISMATCH },
  { name: "at_hash a number", claims: () => ({ at_hash: 1 }), code: MISMATCH },
  { name: "at_hash missing", claims: () => ({ at_hash: undefined }), code: null },
  { name: "sid missing", claims: () => ({ sid: undefined }), code: null },
  { name: "typ of a logout token", header: { typ: "logout+jwt" }, code: INVALID },
  { name: "typ of an access token", header: { typ: "at+jwt" }, code: INVALID },
  { name: "typ JWT", header: { typ: "JWT" }, code: null },
  { name: "no ID token", tokens: { id_token: undefined }, code: INVALID },
  { name: "an ID token that is no JWT", tokens: { id_token: "a.b" }, code: INVALID },
  { name: "an encrypted ID token", tokens: { id_token: "a.b.c.d.e" }, code: INVALID },
  { name: "token_type mac", tokens: { token_type: "mac" }, code: INVALID },
  { name: "negative expires_in", tokens: { expires_in: -1 }, code: INVALID },
  { name: "expires_in as a text", tokens: { expires_in: "300" }, code: null },
];

for (const { name, claims, header, tokens, code } of ROWS) {
  test(`claims: ${name} is ${code === null ? "accepted" : "refused"}`, async (t) => {
    const { signIn, refused, idp, time } = await rig(t);
    idp.script.claims = claims?.(time.epochSec()) ?? {};
    idp.script.header = header ?? {};
    idp.script.tokenResponse = tokens ?? {};
    if (code === null) await signIn();
    else assert.equal((await refused(code)).row.status, 400);
  });
}

test("claims: the tolerance of clocks is one setting for both libraries", async (t) => {
  const { signIn, refused, idp, time } = await rig(t, { oidcClockToleranceSec: 0 });
  idp.script.claims = { exp: time.epochSec() - 1 };
  await refused(TIME);
  idp.script.claims = { iat: time.epochSec() + 1 };
  await refused(TIME);
  idp.script.claims = {};
  await signIn();
});
