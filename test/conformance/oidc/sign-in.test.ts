/** Start and end of a sign-in: what is sent, what is kept, what a callback may and may not do. */
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import test from "node:test";
import { jwtVerify } from "jose";
import type { OidcErrorCode } from "../../../src/api/oidc/index.ts";
import { MemoryPending } from "../../support/oidc/ports.ts";
import { BASE_URL, CLIENT_SECRET, rejected, rig } from "../../support/oidc/rig.ts";

test("start: the URL has state, nonce and S256 challenge, and not the verifier", async (t) => {
  const { begin, browser } = await rig(t);
  const url = new URL(await begin("/devices?tag=a"));
  const state = url.searchParams.get("state") ?? "";
  const pending = browser.peek(state);
  assert.ok(pending !== null);
  for (const value of [pending.state, pending.nonce, pending.codeVerifier]) {
    assert.match(value, /^[A-Za-z0-9_-]{43}$/);
  }
  const challenge = createHash("sha256").update(pending.codeVerifier).digest("base64url");
  assert.deepEqual(Object.fromEntries(url.searchParams), {
    client_id: "hawser",
    response_type: "code",
    redirect_uri: `${BASE_URL}/api/auth/callback`,
    scope: "openid profile email",
    state: pending.state,
    nonce: pending.nonce,
    code_challenge: challenge,
    code_challenge_method: "S256",
  });
  assert.ok(!url.href.includes(pending.codeVerifier));
  assert.equal(pending.returnTo, "/devices?tag=a");
});

test("start: two starts have nothing in common", async (t) => {
  const { begin, browser } = await rig(t);
  const pendings = [];
  for (const url of [await begin(), await begin()]) {
    pendings.push(browser.peek(new URL(url).searchParams.get("state") ?? ""));
  }
  const [left, right] = pendings;
  assert.notEqual(left?.state, right?.state);
  assert.notEqual(left?.nonce, right?.nonce);
  assert.notEqual(left?.codeVerifier, right?.codeVerifier);
});

test("start: redirect_uri is the same, byte for byte, in both requests", async (t) => {
  const { begin, idp, party, browser } = await rig(t);
  const url = await begin();
  await party.signIn.finish(idp.authorize(url), browser);
  const sent = idp.tokenRequest.form.get("redirect_uri");
  assert.equal(sent, new URL(url).searchParams.get("redirect_uri"));
  assert.equal(sent, `${BASE_URL}/api/auth/callback`);
});

test("start: a refresh token is asked for by its setting alone, with prompt=consent", async (t) => {
  const plain = await rig(t);
  const without = new URL(await plain.begin()).searchParams;
  assert.equal(without.get("scope"), "openid profile email");
  assert.equal(without.get("prompt"), null);
  const refreshing = await rig(t, { oidcRefresh: true });
  const asked = new URL(await refreshing.begin()).searchParams;
  assert.equal(asked.get("scope"), "openid profile email offline_access");
  assert.equal(asked.get("prompt"), "consent");
  refreshing.idp.script.tokenResponse = { refresh_token: "refresh-token" };
  assert.equal((await refreshing.signIn()).refreshToken?.reveal(), "refresh-token");
});

test("start: a client with a key signs an assertion for the token endpoint, and sends no secret", async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { signIn, idp, time } = await rig(t, {
    oidcClientAuth: "private_key_jwt",
    oidcClientSecret: "",
    oidcClientPrivateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    oidcClientKeyId: "client-key-1",
  });
  await signIn();
  const { authorization, form } = idp.tokenRequest;
  assert.equal(authorization, null);
  assert.equal(form.has("client_secret"), false);
  const { payload, protectedHeader } = await jwtVerify(
    form.get("client_assertion") ?? "",
    publicKey,
    {
      issuer: "hawser",
      subject: "hawser",
      currentDate: new Date(time.epochMs()),
    },
  );
  assert.equal(protectedHeader.kid, "client-key-1");
  assert.ok([payload.aud].flat().includes(idp.issuer) || payload.aud === `${idp.issuer}/token`);
});

test("start: post sends the secret in the form, and a public client sends none", async (t) => {
  const post = await rig(t, { oidcClientAuth: "client_secret_post" });
  await post.signIn();
  assert.equal(post.idp.tokenRequest.authorization, null);
  assert.equal(post.idp.tokenRequest.form.get("client_secret"), CLIENT_SECRET);
  const open = await rig(t, { oidcClientAuth: "none", oidcClientSecret: "" });
  await open.signIn();
  assert.equal(open.idp.tokenRequest.authorization, null);
  assert.equal(open.idp.tokenRequest.form.get("client_id"), "hawser");
  assert.ok(!open.idp.tokenRequest.form.toString().includes("secret"));
});

test("start: a provider that is down leaves nothing behind", async (t) => {
  const { begin, browser, idp } = await rig(t);
  await idp.stop();
  await rejected(begin, "ERR_OIDC_IDP_UNREACHABLE");
  assert.equal(browser.size, 0);
});

test("finish: a callback of another browser finds nothing and sends nothing", async (t) => {
  const { begin, idp, party, browser } = await rig(t);
  const query = idp.authorize(await begin());
  const victim = new MemoryPending();
  await rejected(() => party.signIn.finish(query, victim), "ERR_OIDC_SIGN_IN_EXPIRED");
  assert.equal(idp.hits("/token"), 0);
  assert.equal(browser.size, 1);
});

test("finish: the back button sends nothing", async (t) => {
  const { begin, idp, party, browser } = await rig(t);
  const query = idp.authorize(await begin());
  await party.signIn.finish(query, browser);
  await rejected(() => party.signIn.finish(query, browser), "ERR_OIDC_SIGN_IN_EXPIRED");
  assert.equal(idp.hits("/token"), 1);
});

test("finish: ten callbacks at once make one token request and one sign-in", async (t) => {
  const { begin, idp, party, browser } = await rig(t);
  const query = idp.authorize(await begin());
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10 }, () => party.signIn.finish(query, browser)),
  );
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  assert.equal(idp.hits("/token"), 1);
});

test("finish: eleven minutes are too long, ten are not", async (t) => {
  const { begin, idp, party, browser, time } = await rig(t);
  const finishAfter = async (ms: number): Promise<void> => {
    const query = idp.authorize(await begin());
    time.advance(ms);
    await party.signIn.finish(query, browser);
  };
  await finishAfter(600_000);
  await rejected(() => finishAfter(660_000), "ERR_OIDC_SIGN_IN_EXPIRED");
  assert.equal(idp.hits("/token"), 1);
});

test("finish: three tabs end where each began, in any order", async (t) => {
  const { begin, idp, party, browser } = await rig(t);
  const urls = [await begin("/one"), await begin("/two"), await begin("/three")];
  const ends: string[] = [];
  for (const index of [1, 0, 2]) {
    const query = idp.authorize(urls[index] ?? "");
    ends.push((await party.signIn.finish(query, browser)).returnTo);
  }
  assert.deepEqual(ends, [`${BASE_URL}/two`, `${BASE_URL}/one`, `${BASE_URL}/three`]);
});

test("finish: return_to is checked again at the end", async (t) => {
  const { begin, idp, party, browser } = await rig(t);
  const url = await begin("/fine");
  const pending = browser.peek(new URL(url).searchParams.get("state") ?? "");
  assert.ok(pending !== null);
  await browser.put({ ...pending, returnTo: "//evil.example" });
  const { returnTo } = await party.signIn.finish(idp.authorize(url), browser);
  assert.equal(returnTo, `${BASE_URL}/`);
});

test("finish: a sign-in that was begun at another issuer is refused", async (t) => {
  const { begin, idp, party, browser } = await rig(t);
  idp.script.metadata = { authorization_response_iss_parameter_supported: undefined };
  const url = await begin();
  const pending = browser.peek(new URL(url).searchParams.get("state") ?? "");
  assert.ok(pending !== null);
  await browser.put({ ...pending, issuer: "https://another.example" });
  const query = idp.authorize(url, { iss: undefined });
  await rejected(() => party.signIn.finish(query, browser), "ERR_OIDC_CALLBACK_INVALID");
  assert.equal(idp.hits("/token"), 0);
});

const IDP_ERRORS: readonly {
  readonly error: string;
  readonly code: OidcErrorCode;
  readonly status: number;
}[] = [
  { error: "access_denied", code: "ERR_OIDC_ACCESS_DENIED", status: 403 },
  { error: "login_required", code: "ERR_OIDC_LOGIN_REQUIRED", status: 400 },
  { error: "temporarily_unavailable", code: "ERR_OIDC_IDP_BUSY", status: 503 },
  { error: "server_error", code: "ERR_OIDC_IDP_ERROR", status: 400 },
  { error: "<img onerror=alert(1)>", code: "ERR_OIDC_SIGN_IN_REFUSED", status: 400 },
];

for (const { error, code, status } of IDP_ERRORS) {
  test(`finish: the provider's error ${error} is ${status}, in our words`, async (t) => {
    const { refused, idp, browser, log } = await rig(t);
    const text = "<script>canary-description-9a1c</script>";
    const found = await refused(code, {
      code: undefined,
      error,
      error_description: text,
      error_uri: text,
    });
    assert.equal(found.row.status, status);
    assert.equal(browser.size, 0, "the sign-in is over");
    assert.equal(idp.hits("/token"), 0);
    const said = `${found.message}${found.stack}${log.lines.join("")}`;
    assert.ok(!said.includes("canary") && !said.includes("<img"));
  });
}

test("finish: an error without the right state does not end a sign-in that runs", async (t) => {
  const { refused, browser } = await rig(t);
  await refused("ERR_OIDC_SIGN_IN_EXPIRED", {
    code: undefined,
    error: "access_denied",
    state: "B".repeat(43),
  });
  assert.equal(browser.size, 1);
});

test("finish: an error of another issuer is refused as such", async (t) => {
  const { refused } = await rig(t);
  const patch = { code: undefined, error: "access_denied", iss: "https://evil.example" };
  await refused("ERR_OIDC_CALLBACK_INVALID", patch);
});

test("identity: two subjects with one e-mail are two people", async (t) => {
  const { signIn, idp } = await rig(t);
  const first = (await signIn()).identity;
  idp.script.claims = { sub: "subject-2" };
  idp.script.userinfo = { ...idp.script.userinfo, sub: "subject-2" };
  const second = (await signIn()).identity;
  assert.equal(first.email, second.email);
  assert.notEqual(first.sub, second.sub);
});

test("identity: a tenant claim that is configured must be there, and is never made up", async (t) => {
  const { signIn, refused, idp } = await rig(t, { oidcTenantClaim: "org", oidcRoleClaim: "roles" });
  for (const org of [undefined, "", " ", 7, null, ["a"], { a: 1 }, "a\nb", " a"]) {
    idp.script.claims = { org };
    assert.equal((await refused("ERR_OIDC_NO_TENANT")).row.status, 403);
  }
  idp.script.claims = { org: "tenant-a", roles: ["admin", 7] };
  const { identity } = await signIn();
  assert.equal(identity.tenant, "tenant-a");
  assert.deepEqual(identity.roles, ["admin"]);
});

test("identity: a claim's name that every object has is no tenant", async (t) => {
  const { refused } = await rig(t, { oidcTenantClaim: "constructor" });
  await refused("ERR_OIDC_NO_TENANT");
});

test("identity: an ID token with name and e-mail needs no user information", async (t) => {
  const { signIn, idp } = await rig(t);
  idp.script.claims = {
    name: "Ada\r\nExample",
    email: "ada@example.org",
    acr: "gold",
    amr: ["pwd"],
  };
  const { identity } = await signIn();
  assert.equal(identity.name, "AdaExample");
  assert.equal(identity.acr, "gold");
  assert.deepEqual(identity.amr, ["pwd"]);
  assert.equal(idp.hits("/userinfo"), 0);
});
