import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { compactVerify, decodeJwt, decodeProtectedHeader, importJWK } from "jose";
import { accountHash, referralHash } from "../../../src/access-proxy/index.ts";
import {
  type Asked,
  ID,
  IDP_A,
  lines,
  PRINCIPAL,
  type ProxyRig,
  SELF,
  startRig,
  T0,
  TO_TA,
} from "../../support/access-proxy/rig.ts";

/** TA cooperation, sections 4.4 to 4.6: what ID providers and the target are sent. Numbers are those of section 16. */

const IDP_B = "https://idp-b.example";
const IDP_C = "https://idp-c.example";

let rig: ProxyRig;
before(async () => {
  rig = await startRig();
});
after(() => rig.stop());

/** What one ID provider was asked since the last call of this. */
function takeAsked(issuer: string): Asked[] {
  return rig.idps.get(issuer)?.asked.splice(0) ?? [];
}

function withoutAssertion({ client_assertion: assertion, ...rest }: Asked): Asked {
  assert.equal(typeof assertion, "string");
  return rest;
}

const TYPE = {
  client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
};
const MAIN = {
  ...TYPE,
  from_client: SELF,
  to_client: TO_TA,
  grant_type: "access_token",
  access_token: "access-token-secret",
  user_tag: "me",
};

test("1: one ID provider, the principal and another account of it", async () => {
  const users = { ...PRINCIPAL, you: { iss: IDP_A, sub: "u-2" } };
  const answer = await rig.call({
    method: "PUT",
    at: "/a/b?c=%20d",
    headers: [...ID, "X-Own", "1", "x-own", "2", "Content-Type", "text/plain"],
    body: "hello",
    users,
  });
  assert.deepEqual([answer.status, answer.body.toString()], [200, "done"]);
  const [asked, ...more] = takeAsked(IDP_A);
  assert.deepEqual(withoutAssertion(asked ?? {}), {
    ...MAIN,
    response_type: "code_token",
    users: { you: "u-2" },
  });
  assert.deepEqual([more, takeAsked(IDP_B)], [[], []]);
  const got = rig.received.at(-1);
  assert.ok(got);
  assert.deepEqual([got.method, got.url, got.body.toString()], ["PUT", "/a/b?c=%20d", "hello"]);
  assert.equal(got.headers.host, new URL(rig.target).host);
  assert.deepEqual(lines(got, "x-own"), ["1", "2"]);
  assert.deepEqual(lines(got, "content-length"), ["5"]);
  assert.equal(lines(got, "x-edo-code-tokens").length, 1);
  assert.equal(
    Object.keys(got.headers).some((name) => name.startsWith("x-access-proxy")),
    false,
  );
});

test("2: two ID providers; the referral goes on unchanged, and code tokens have a line each, the main one's first", async () => {
  await rig.call({ headers: ID, users: { o: { iss: IDP_B, sub: "u-2002" }, ...PRINCIPAL } });
  const [main] = takeAsked(IDP_A);
  const [sub, ...more] = takeAsked(IDP_B);
  assert.deepEqual(withoutAssertion(main ?? {}), {
    ...MAIN,
    response_type: "code_token referral",
    related_users: { o: accountHash("SHA256", IDP_B, "u-2002") },
    hash_alg: "SHA256",
    related_issuers: [IDP_B],
  });
  const { referral, ...rest } = withoutAssertion(sub ?? {});
  assert.deepEqual(rest, {
    ...TYPE,
    response_type: "code_token",
    grant_type: "referral",
    users: { o: "u-2002" },
  });
  assert.deepEqual(more, []);
  const tokens = lines(rig.received.at(-1) ?? { rawHeaders: [] }, "x-edo-code-tokens").map((one) =>
    decodeJwt(one),
  );
  assert.deepEqual(
    tokens.map(({ iss }) => iss),
    [IDP_A, IDP_B],
  );
  const hash = referralHash("SHA256", referral as string);
  assert.deepEqual(
    tokens.map((one) => one["ref_hash"]),
    [hash, hash],
  );
});

test("3: three ID providers and one referral for both others, which are asked at the same time", async () => {
  const subs = [rig.idps.get(IDP_B), rig.idps.get(IDP_C)];
  let waiting = 0;
  const both = new Promise<void>((resolve) => {
    for (const one of subs) {
      assert.ok(one);
      const { alter } = one;
      one.alter = (claims) => {
        one.alter = alter;
        waiting++;
        if (waiting === 2) resolve();
        return claims;
      };
    }
  });
  const users = {
    ...PRINCIPAL,
    b1: { iss: IDP_B, sub: "1" },
    c: { iss: IDP_C, sub: "2" },
    a: { iss: IDP_A, sub: "3" },
    b2: { iss: IDP_B, sub: "4" },
  };
  const [answer] = await Promise.all([rig.call({ headers: ID, users }), both]);
  assert.equal(answer.status, 200);
  const [main] = takeAsked(IDP_A);
  assert.deepEqual(main?.["related_issuers"], [IDP_B, IDP_C]);
  assert.deepEqual(Object.keys(main?.["related_users"] as object), ["b1", "b2", "c"]);
  assert.deepEqual(main?.["users"], { a: "3" });
  const [b] = takeAsked(IDP_B);
  const [c] = takeAsked(IDP_C);
  assert.deepEqual([b?.["users"], c?.["users"]], [{ b1: "1", b2: "4" }, { c: "2" }]);
  assert.equal(b?.["referral"], c?.["referral"]);
  assert.equal(lines(rig.received.at(-1) ?? { rawHeaders: [] }, "x-edo-code-tokens").length, 3);
});

test("18: a client assertion is new for each request, and names the endpoint to the letter", async () => {
  const users = { ...PRINCIPAL, o: { iss: IDP_B, sub: "u" } };
  await rig.call({ headers: ID, users });
  await rig.call({ headers: ID, users });
  const key = await importJWK(rig.publicJwk, "ES256");
  const ids: unknown[] = [];
  for (const issuer of [IDP_A, IDP_B]) {
    for (const asked of takeAsked(issuer)) {
      const text = asked["client_assertion"] as string;
      await compactVerify(text, key, { algorithms: ["ES256"] });
      assert.deepEqual(decodeProtectedHeader(text), { alg: "ES256", kid: "from-1" });
      const { jti, ...claims } = decodeJwt(text);
      ids.push(jti);
      assert.deepEqual(claims, {
        iss: SELF,
        sub: SELF,
        aud: rig.idps.get(issuer)?.endpoint,
        iat: T0 / 1_000,
        exp: T0 / 1_000 + 300,
      });
    }
  }
  assert.equal(new Set(ids).size, 4);
  assert.ok(ids.every((id) => typeof id === "string" && id.length === 20));
});

test("17: the id of the TA that is given is asked for, and checked in what comes back", async () => {
  const answer = await rig.call({ headers: ID });
  assert.equal(answer.status, 200);
  assert.equal(takeAsked(IDP_A).at(-1)?.["to_client"], TO_TA);
});

test("20: a caller can neither bring code tokens nor a session of its own", async () => {
  await rig.call({
    headers: [...ID, "X-Edo-Code-Tokens", "forged", "Cookie", "a=1; Edo-Cooperation=forged"],
  });
  const got = rig.received.at(-1);
  assert.equal(got?.headers.cookie, "a=1");
  assert.doesNotMatch(got?.rawHeaders.join(" ") ?? "forged", /forged/);
});

test("without a key of the ID provider a code token is checked by its claims alone", async () => {
  const idp = rig.idps.get(IDP_A);
  assert.ok(idp);
  const keyless = await startRig({
    issuers: [IDP_A],
    parts: {
      idps: {
        get: (issuer) => ({
          issuer,
          cooperationFromEndpoint: idp.endpoint,
          jwks: null,
          jwksUri: null,
        }),
      },
    },
  });
  assert.equal((await keyless.call({ headers: ID })).status, 200);
  await keyless.stop();
});
