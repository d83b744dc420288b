import assert from "node:assert/strict";
import test from "node:test";
import { decodeProtectedHeader } from "jose";
import { readCodeTokens } from "../../../examples/ta-cooperation/receiver/code-tokens.ts";
import { authFields } from "../../../examples/ta-cooperation/receiver/index.ts";
import { PartyKeys } from "../../../examples/ta-cooperation/wire/party-keys.ts";
import { readJwt, verifies } from "../../../examples/ta-cooperation/wire/signed-jwt.ts";
import { readAccounts } from "../../../src/access-proxy/accounts.ts";
import { codeTokenFault } from "../../../src/access-proxy/code-token.ts";
import { readGrantedSession } from "../../../src/access-proxy/cookies.ts";
import { forwardFields } from "../../../src/access-proxy/forward-fields.ts";
import {
  accountHash,
  halfHash,
  halfHashLength,
  readUnsignedJwt,
  referralHash,
  writeUnsignedJwt,
} from "../../../src/access-proxy/index.ts";
import { readTarget } from "../../../src/access-proxy/target.ts";
import {
  KEYS,
  type Party,
  SIGNED,
  type SignedExample,
  UNSIGNED,
} from "../../support/ta-cooperation/worked-examples.ts";

const PARTIES = Object.keys(KEYS) as Party[];
/** Time base of the examples, seconds since 1970. */
const T = 1_767_225_600;
const IDP_A = "https://idp-a.example";
const IDP_B = "https://idp-b.example";
const TO_TA = "https://to.example";
const FROM_TA = "https://from.example";

const HASHES = [
  [IDP_B, "u-2002", "SHA256", "ovp3banffboIq7zeLboYLw"],
  [IDP_B, "u-2002", "SHA384", "IPV_WaYgl7s20iHcjemUF_5z1KoWmOTb"],
  [IDP_B, "u-2002", "SHA512", "6KE-W7lqd2LCBJKN_kLrWUpcVEcJKLdy6VOjzktIbB0"],
  [IDP_A, "利用者-1", "SHA256", "5dl2X6oco82CV4cDvo--Hg"],
  [
    "https://idp2.example.org",
    "K30qzk6Ki1tBVOan-mte50JQrhmEfnf8hrW77zqL1jg",
    "SHA256",
    "b4X38mSbay2h0DBFYP2fMA",
  ],
] as const;

for (const [idpId, accountId, algorithm, expected] of HASHES) {
  test(`known answers: the ${algorithm} account hash of ${accountId} at ${idpId}`, () => {
    assert.equal(accountHash(algorithm, idpId, accountId), expected);
    assert.equal(expected.length, halfHashLength(algorithm));
  });
}

test("known answers: the account ID's half hash alone is the stale value of older documents", () => {
  assert.equal(
    halfHash("SHA256", "K30qzk6Ki1tBVOan-mte50JQrhmEfnf8hrW77zqL1jg"),
    "Gbr93kvtHPkuUX4YlRD4QA",
  );
});

test("known answers: the seed's request names a principal and a related account", () => {
  assert.deepEqual(readAccounts(UNSIGNED.seedUsers.text), {
    principal: { tag: "reader", atTag: "2Eywh1Z4tZ" },
    related: [{ tag: "writer", iss: "https://idp.example.org", sub: "07BFF1D3706D169D" }],
  });
  const { url, toTaId } = readTarget(["https://to.example.org/api/writer/profile"], []);
  assert.equal(toTaId, "https://to.example.org");
  assert.equal(url.pathname, "/api/writer/profile");
});

for (const [name, { claims, text }] of Object.entries(UNSIGNED)) {
  test(`known answers: the unsigned JWT ${name} is written byte for byte, and read`, () => {
    assert.equal(writeUnsignedJwt(claims), text);
    assert.deepEqual(readUnsignedJwt(text), { ok: true, claims });
  });
}

for (const [name, example] of Object.entries<SignedExample>(SIGNED)) {
  test(`known answers: the signed JWT ${name} verifies with its party's key alone`, async () => {
    const { signedBy, claims, text } = example;
    assert.deepEqual(decodeProtectedHeader(text), { alg: "ES256", kid: `${signedBy}-1` });
    const jwt = readJwt(text);
    assert.ok(jwt !== null);
    assert.deepEqual(jwt.claims, claims);
    for (const party of PARTIES) {
      assert.equal(await verifies(jwt, [KEYS[party]]), party === signedBy, party);
      // The key is not chosen by its name alone.
      const renamed = { ...KEYS[party], kid: `${signedBy}-1` };
      assert.equal(await verifies(jwt, [renamed]), party === signedBy, party);
    }
  });
}

test("known answers: assertions are for one endpoint and five minutes", () => {
  const assertions = [
    [SIGNED.assertionFrom1, `${IDP_A}/api/coop/from`, T],
    [SIGNED.assertionTo1, `${IDP_A}/api/coop/to`, T + 1],
    [SIGNED.assertionFrom2, `${IDP_A}/api/coop/from`, T + 60],
    [SIGNED.assertionFromB2, `${IDP_B}/api/coop/from`, T + 61],
  ] as const;
  for (const [{ claims }, audience, at] of assertions) {
    assert.equal(claims.aud, audience);
    assert.equal(claims.iss, claims.sub);
    assert.deepEqual([claims.iat, claims.exp], [at, at + 300]);
  }
  assert.equal(new Set(assertions.map(([{ claims }]) => claims.jti)).size, assertions.length);
});

test("known answers: one ID provider's code token is what the proxy asked for", async () => {
  const wish = { issuer: IDP_A, toTaId: TO_TA, userTag: "reader", userTags: [], refHash: null };
  const { text } = SIGNED.codeToken1;
  assert.equal(await codeTokenFault(text, wish, [KEYS["idp-a"]]), null);
  assert.equal(await codeTokenFault(text, { ...wish, userTag: "writer" }, null), "user_tag");
  assert.equal(await codeTokenFault(text, wish, [KEYS["idp-b"]]), "key");
});

test("known answers: the referral, its hash and both code tokens fit together", async () => {
  const referral = SIGNED.referral2;
  const refHash = referralHash("SHA256", referral.text);
  assert.equal(refHash, "98dP4MfN3Hxdr0TWELBMBQ");
  assert.equal(referral.claims.related_users.observer, accountHash("SHA256", IDP_B, "u-2002"));
  assert.deepEqual(referral.claims.aud, [IDP_B]);
  assert.equal(referral.claims.sub, FROM_TA);
  assert.equal(referral.claims.to_client, TO_TA);
  const main = { issuer: IDP_A, toTaId: TO_TA, userTag: "inviter", userTags: [], refHash };
  const sub = { issuer: IDP_B, toTaId: TO_TA, userTag: null, userTags: ["observer"], refHash };
  assert.equal(await codeTokenFault(SIGNED.codeTokenA2.text, main, [KEYS["idp-a"]]), null);
  assert.equal(await codeTokenFault(SIGNED.codeTokenB2.text, sub, [KEYS["idp-b"]]), null);
  const other = { ...sub, refHash: referralHash("SHA256", `${referral.text}A`) };
  assert.equal(await codeTokenFault(SIGNED.codeTokenB2.text, other, null), "ref_hash");
});

test("known answers: the target takes both code tokens as those of one call", async () => {
  const idps = new Map(
    [
      { issuer: IDP_A, coopToUrl: `${IDP_A}/api/coop/to`, jwks: [KEYS["idp-a"]] },
      { issuer: IDP_B, coopToUrl: `${IDP_B}/api/coop/to`, jwks: [KEYS["idp-b"]] },
    ].map((idp) => [idp.issuer, idp]),
  );
  const texts = [SIGNED.codeTokenA2.text, SIGNED.codeTokenB2.text];
  const keys = new PartyKeys(() => T * 1_000);
  const tokens = await readCodeTokens(texts, { selfId: TO_TA, idps, keys });
  assert.equal(tokens.principalTag, "inviter");
  assert.equal(tokens.fromTa, FROM_TA);
  assert.deepEqual(
    tokens.all.map(({ code }) => code),
    ["d9Xw3KpZ6tRm0VsQ8nLc5YhGf2JbTu", "e5Hs7RqJ1xWd4MvN8zTk0LbYc6GpFo"],
  );
});

/** What the ID providers of an example told, and the token that came with it. */
function told(principalTag: string, related: Readonly<Record<string, string>>) {
  return {
    principal: { tag: principalTag, issuer: IDP_A, claims: { sub: "u-1001" } },
    related: Object.entries(related).map(([tag, sub]) => ({
      tag,
      issuer: IDP_B,
      claims: { sub },
    })),
    token: { token: "t", issuer: IDP_A, scope: "openid", expiresAtMs: (T + 3_600) * 1_000 },
  };
}

test("known answers: the content handler of one ID provider's call is told byte for byte", () => {
  assert.deepEqual(authFields(told("reader", {}), "W4bnY8sKqd", FROM_TA), [
    ...["X-Auth-User", UNSIGNED.authUser1.text],
    ...["X-Auth-User-Tag", "reader"],
    ...["X-Auth-From-Id", FROM_TA],
  ]);
});

test("known answers: the content handler of two ID providers' call is told byte for byte", () => {
  assert.deepEqual(authFields(told("inviter", { observer: "u-2002" }), "Jx6eM2vRfc", FROM_TA), [
    ...["X-Auth-User", UNSIGNED.authUser2.text],
    ...["X-Auth-User-Tag", "inviter"],
    ...["X-Auth-Users", UNSIGNED.authUsers2.text],
    ...["X-Auth-From-Id", FROM_TA],
  ]);
});

const CALL = [
  ...["Host", "127.0.0.1:16050", "Accept", "application/json", "Cookie", "theme=dark"],
  ...["X-Access-Proxy-To", "https://to.example/api/reader/profile?full=1"],
  ...["X-Access-Proxy-Users", UNSIGNED.users1.text],
];
const FORWARD = {
  connection: undefined,
  fields: CALL,
  host: "to.example",
  sessLabel: "Edo-Cooperation",
  credentialField: null,
  framing: "kept",
} as const;

test("known answers: the granted session comes back in the second call, in place of the tokens", () => {
  const codeTokens = [SIGNED.codeToken1.text];
  const kept = ["Host", "to.example", "Accept", "application/json"];
  assert.deepEqual(forwardFields({ ...FORWARD, codeTokens, sessionId: null }), [
    ...[...kept, "Cookie", "theme=dark"],
    ...["X-Edo-Code-Tokens", SIGNED.codeToken1.text],
  ]);
  const session = readGrantedSession(
    "Edo-Cooperation=s8Kd2PfXw7LmQz0VcRt4YbNh6JgEaU; Path=/; Expires=Thu, 01 Jan 2026 01:00:00 GMT; HttpOnly; Secure",
    "Edo-Cooperation",
    T * 1_000,
  );
  assert.deepEqual(session, {
    id: "s8Kd2PfXw7LmQz0VcRt4YbNh6JgEaU",
    expiresAt: (T + 3_600) * 1_000,
  });
  assert.deepEqual(forwardFields({ ...FORWARD, codeTokens: [], sessionId: session?.id ?? "" }), [
    ...[...kept, "Cookie", "theme=dark; Edo-Cooperation=s8Kd2PfXw7LmQz0VcRt4YbNh6JgEaU"],
  ]);
});
