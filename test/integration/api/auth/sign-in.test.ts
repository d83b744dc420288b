import assert from "node:assert/strict";
import test from "node:test";
import { disableUser, tenantId } from "../../../../src/api/store/index.ts";
import type { Browser } from "../../../support/api/browser.ts";
import { LOGIN, scriptedWorld, type World } from "../../../support/api/scripted-world.ts";

const DAY_MS = 24 * 60 * 60_000;

async function meStatus(at: World, browser: Browser): Promise<number> {
  return (await at.get(browser, "/api/auth/me")).status;
}

test("login: each start has new values, and the verifier and the nonce's secret stay here", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const urls = [new URL(await at.start(browser)), new URL(await at.start(browser))];
  const [one, two] = urls.map(({ searchParams }) => searchParams);
  for (const name of ["state", "nonce", "code_challenge"]) {
    assert.match(one?.get(name) ?? "", /^[A-Za-z0-9_-]{43}$/);
    assert.notEqual(one?.get(name), two?.get(name));
  }
  assert.equal(one?.get("code_challenge_method"), "S256");
  assert.equal(one?.get("redirect_uri"), at.it.url("/api/auth/callback"));
  await at.arrive(browser, at.callback(urls[1]?.href ?? ""));
  const verifier = at.idp.tokenRequest.form.get("code_verifier") ?? "";
  assert.match(verifier, /^[A-Za-z0-9_-]{43}$/);
  const seen = [
    ...browser.pages.map((page) => JSON.stringify(page)),
    ...at.it.lines,
    ...at.oidcLog.lines,
  ];
  assert.ok(seen.every((text) => !text.includes(verifier)));
  assert.equal(at.idp.tokenRequest.form.get("redirect_uri"), at.it.url("/api/auth/callback"));
});

test("login: Host and X-Forwarded fields influence neither start nor callback", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  browser.extraHeaders = {
    host: "evil.test",
    "x-forwarded-host": "evil.test",
    "x-forwarded-proto": "http",
    "x-forwarded-for": "203.0.113.9",
  };
  const url = await at.start(browser, "?return_to=/devices");
  assert.equal(new URL(url).searchParams.get("redirect_uri"), at.it.url("/api/auth/callback"));
  const page = await at.arrive(browser, at.callback(url));
  assert.equal(page.headers.location, at.it.url("/devices"));
  assert.match(page.headers["set-cookie"]?.[0] ?? "", /; Secure/);
  assert.equal(at.idp.tokenRequest.form.get("redirect_uri"), at.it.url("/api/auth/callback"));
  assert.ok(at.it.audit.every(({ asker }) => asker?.address === "127.0.0.1"));
});

test("login: three tabs finish in another order, and none of them meets an error", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const urls: string[] = [];
  for (const tab of ["a", "b", "c"]) urls.push(await at.start(browser, `?return_to=/${tab}`));
  assert.equal(browser.cookiesFor(at.it.baseUrl).length, 1);
  const landed: (string | undefined)[] = [];
  for (const index of [1, 0, 2]) {
    const page = await at.arrive(browser, at.callback(urls[index] ?? ""));
    assert.equal(page.status, 303);
    landed.push(page.headers.location);
  }
  assert.deepEqual(landed, [at.it.url("/b"), at.it.url("/"), at.it.url("/")]);
  assert.equal(at.idp.hits("/token"), 1);
});

test("login: a browser has eight sign-ins under way, a ninth drops the first", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const urls: string[] = [];
  for (let tab = 1; tab <= 9; tab++) {
    urls.push(await at.start(browser, `?return_to=/${tab}`));
    at.time.advance(1_000);
  }
  assert.equal((await at.arrive(browser, at.callback(urls[0] ?? ""))).status, 400);
  const second = await at.arrive(browser, at.callback(urls[1] ?? ""));
  assert.equal(second.headers.location, at.it.url("/2"));
});

test("login: all browsers together have so many sign-ins under way, then 503 until some have ended", async (t) => {
  const at = await scriptedWorld(t, { auth: { pendingMax: 3 } });
  const signedIn = await at.signedIn();
  for (let count = 0; count < 3; count++) await at.start(at.it.browser());
  const over = await at.it.browser().step(at.it.url(LOGIN));
  assert.equal(over.status, 503);
  assert.equal(over.headers["retry-after"], "30");
  assert.match(over.body, /too_many_sign_ins/);
  assert.equal(await meStatus(at, signedIn), 200);
  at.time.advance(600_000);
  await at.start(at.it.browser());
});

test("login: twenty starts a minute from one address, then 429; others are let in", async (t) => {
  const at = await scriptedWorld(t, { auth: { loginsPerMinute: 20 } });
  for (let count = 0; count < 20; count++) await at.start(at.it.browser());
  const over = await at.it.browser().step(at.it.url(LOGIN));
  assert.equal(over.status, 429);
  assert.ok(Number(over.headers["retry-after"]) > 0 && Number(over.headers["retry-after"]) <= 60);
  assert.equal(at.it.events().filter((event) => event === "excess_rate_limit_exceeded").length, 1);
  // A field that anybody can send makes nobody somebody else.
  const spoofed = at.it.browser();
  spoofed.extraHeaders = { "x-forwarded-for": "203.0.113.77" };
  assert.equal((await spoofed.step(at.it.url(LOGIN))).status, 429);
  at.time.advance(60_000);
  await at.start(at.it.browser());
});

test("callback: thirty a minute from one address, then 429", async (t) => {
  const at = await scriptedWorld(t, { auth: { callbacksPerMinute: 30 } });
  const url = at.it.url("/api/auth/callback?state=x&code=y");
  for (let count = 0; count < 30; count++) {
    assert.equal((await at.it.browser().step(url)).status, 400);
  }
  assert.equal((await at.it.browser().step(url)).status, 429);
  at.time.advance(60_000);
  assert.equal((await at.it.browser().step(url)).status, 400);
});

for (const [site, corsOrigins, expected] of [
  ["cross-site", [], 200],
  ["same-site", [], 200],
  ["same-site", ["https://spa.example.org"], 303],
  ["same-site", ["https://spa.example.com"], 200],
  ["cross-site", ["https://spa.example.org"], 200],
  ["same-origin", [], 303],
  ["none", [], 303],
  ["", [], 303],
] as const) {
  test(`login: a start from ${site || "an old browser"} with ${corsOrigins.length} applications is ${expected === 200 ? "asked about" : "let go on"}`, async (t) => {
    const at = await scriptedWorld(t, { auth: { corsOrigins: [...corsOrigins] } });
    const browser = at.it.browser();
    browser.extraHeaders = { "sec-fetch-site": site };
    const page = await browser.step(at.it.url(`${LOGIN}?return_to=/a%26b`));
    assert.equal(page.status, expected);
    if (expected !== 200) return;
    assert.equal(page.headers["set-cookie"], undefined);
    const link = /href="([^"]+)">Continue/.exec(page.body)?.[1]?.replaceAll("&#38;", "&") ?? "";
    assert.equal(new URL(link).origin, at.it.baseUrl);
    browser.extraHeaders = {};
    const started = await browser.step(link, { from: at.it.baseUrl });
    assert.equal(started.status, 303);
    const end = await at.arrive(browser, at.callback(started.headers.location ?? ""));
    assert.equal(end.headers.location, at.it.url("/a&b"));
  });
}

test("login: with the question switched off another site may begin", async (t) => {
  const at = await scriptedWorld(t, { auth: { confirmCrossSiteStart: false } });
  const page = await at.it.browser().step(at.it.url(LOGIN), { from: "https://evil.test" });
  assert.equal(page.status, 303);
});

test("login: somebody who is signed in goes straight back, without the provider", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const page = await browser.step(at.it.url(`${LOGIN}?return_to=/devices`));
  assert.equal(page.headers.location, at.it.url("/devices"));
  assert.equal(page.headers["set-cookie"], undefined);
});

test("reauth: asks the provider for a new proof, renews the session and its id", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const former = browser.copy();
  const url = await at.start(browser, "?reauth=1&return_to=/keys");
  const asked = new URL(url).searchParams;
  assert.deepEqual([asked.get("prompt"), asked.get("max_age")], ["login", "0"]);
  // The session goes on while the person is at the provider.
  assert.equal(await meStatus(at, browser), 200);
  at.time.advance(120_000);
  const page = await at.arrive(browser, at.callback(url));
  assert.equal(page.headers.location, at.it.url("/keys"));
  assert.equal(await meStatus(at, browser), 200);
  assert.equal(await meStatus(at, former), 401);
  const [session] = await at.it.store.query.selectFrom("loginSessions").selectAll().execute();
  assert.equal(session?.authTime, at.time.epochSec() * 1_000);
  assert.equal(at.it.events().at(-1), "session_renewed");
});

test("reauth: a provider that does not ask again is refused, and the session is as it was", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const url = await at.start(browser, "?reauth=1");
  at.idp.script.claims = { auth_time: at.time.epochSec() - 31 };
  const page = await at.arrive(browser, at.callback(url));
  assert.equal(page.status, 400);
  assert.match(page.body, /reauth_required/);
  assert.equal(page.headers["set-cookie"], undefined);
  assert.equal(await meStatus(at, browser), 200);
});

test("user: two subjects with one e-mail are two people in two tenants", async (t) => {
  const at = await scriptedWorld(t);
  const seen = new Set<string>();
  for (const sub of ["one", "two"]) {
    const browser = at.it.browser();
    at.idp.script.claims = { sub, email: "same@example.org", email_verified: true };
    at.idp.script.userinfo = { sub, name: "Same", email: "same@example.org" };
    await at.arrive(browser, at.callback(await at.start(browser)));
    const { user, tenant } = JSON.parse((await at.get(browser, "/api/auth/me")).body);
    assert.equal(user.email, "same@example.org");
    seen.add(user.id).add(tenant);
  }
  assert.equal(seen.size, 4);
});

test("tenant: comes from the claim, and without one nobody gets in", async (t) => {
  const at = await scriptedWorld(t, { oidc: { oidcTenantClaim: "org", oidcRoleClaim: "groups" } });
  const member = await at.signedIn({ org: "acme", sub: "member", groups: ["staff"] });
  const admin = await at.signedIn({ org: "acme", sub: "boss", groups: ["staff", "admin"] });
  assert.equal(JSON.parse((await at.get(member, "/api/auth/me")).body).tenant, "t:acme");
  assert.equal((await at.get(member, "/api/users")).status, 403);
  assert.equal((await at.get(admin, "/api/users")).status, 200);
  for (const claims of [{}, { org: "" }, { org: 7 }, { org: ["acme"] }]) {
    const browser = at.it.browser();
    at.idp.script.claims = { sub: "stray", ...claims };
    at.idp.script.userinfo = { sub: "stray" };
    const page = await at.arrive(browser, at.callback(await at.start(browser)));
    assert.equal(page.status, 403);
    assert.match(page.body, /no_tenant/);
    assert.equal(page.headers["set-cookie"], undefined);
    assert.equal(await meStatus(at, browser), 401);
  }
  const users = await at.it.store.query.selectFrom("users").select("sub").orderBy("sub").execute();
  assert.deepEqual(
    users.map(({ sub }) => sub),
    ["boss", "member"],
  );
});

test("tenant: a role that was given by hand stays where the provider does not tell roles", async (t) => {
  const at = await scriptedWorld(t, { oidc: { oidcTenantClaim: "org" } });
  const browser = await at.signedIn({ org: "acme" });
  assert.equal((await at.get(browser, "/api/users")).status, 403);
  await at.it.store.query.updateTable("users").set({ role: "admin" }).execute();
  assert.equal((await at.get(browser, "/api/users")).status, 200);
  const again = await at.signedIn({ org: "acme" });
  assert.equal((await at.get(again, "/api/users")).status, 200);
});

test("user: one that is disabled gets a page and no session", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const { user, tenant } = JSON.parse((await at.get(browser, "/api/auth/me")).body);
  await disableUser(at.it.store, tenantId(tenant), user.id);
  assert.equal(await meStatus(at, browser), 401);
  const next = at.it.browser();
  const page = await at.arrive(next, at.callback(await at.start(next)));
  assert.equal(page.status, 403);
  assert.match(page.body, /account_disabled/);
  assert.doesNotMatch(page.body, /Try again/);
  assert.equal(await meStatus(at, next), 401);
});

test("session_expiry: caps the session, and one that has passed refuses the sign-in", async (t) => {
  const at = await scriptedWorld(t);
  const ends = at.time.epochSec() + 900;
  const browser = await at.signedIn({ session_expiry: ends });
  const { session } = JSON.parse((await at.get(browser, "/api/auth/me")).body);
  assert.equal(Date.parse(session.absolute_expires_at), ends * 1_000);
  assert.equal(Date.parse(session.idle_expires_at), ends * 1_000);
  at.idp.script.claims = { session_expiry: at.time.epochSec() - 1 };
  const late = at.it.browser();
  const page = await at.arrive(late, at.callback(await at.start(late)));
  assert.equal(page.status, 400);
  assert.match(page.body, /session_expiry_past/);
  const far = await at.signedIn({ session_expiry: at.time.epochSec() + 90 * (DAY_MS / 1_000) });
  const capped = JSON.parse((await at.get(far, "/api/auth/me")).body).session;
  assert.equal(Date.parse(capped.absolute_expires_at) - at.time.epochMs(), 12 * 60 * 60_000);
});

test("session: may end with its ID token where that is configured", async (t) => {
  const at = await scriptedWorld(t, { auth: { sessionEndsWithIdToken: true } });
  const browser = await at.signedIn();
  at.time.advance(299_000);
  assert.equal(await meStatus(at, browser), 200);
  at.time.advance(1_000);
  assert.equal(await meStatus(at, browser), 401);
});
