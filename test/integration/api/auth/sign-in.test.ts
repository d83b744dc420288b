import assert from "node:assert/strict";
import test from "node:test";
import { disableUser, tenantId } from "../../../../src/api/store/index.ts";
import type { Browser } from "../../../support/api/browser.ts";
import { codeOf, LOGIN, scriptedWorld, type World } from "../../../support/api/scripted-world.ts";
import { rawRequest } from "../../../support/forward/raw-request.ts";
import { hang, plain, reset } from "../../../support/oidc/scripted-idp.ts";

const COOKIE = "__Host-hawser_sid";
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

test("callback: takes GET alone; HEAD, POST and a prefetch use nothing up", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const url = at.callback(await at.start(browser));
  for (const method of ["HEAD", "POST"]) {
    const page = await browser.step(url, { method, from: at.it.baseUrl });
    assert.equal(page.status, 405);
    assert.equal(page.headers.allow, "GET, OPTIONS");
  }
  for (const fields of [
    { "sec-purpose": "prefetch" },
    { "sec-purpose": "prefetch;prerender" },
    { purpose: "prefetch" },
  ]) {
    browser.extraHeaders = { ...fields };
    assert.equal((await browser.step(url)).status, 204);
    assert.equal((await browser.step(at.it.url(LOGIN))).status, 204);
  }
  browser.extraHeaders = {};
  assert.equal(at.idp.hits("/token"), 0);
  assert.equal((await at.arrive(browser, url)).status, 303);
  assert.equal(await meStatus(at, browser), 200);
});

for (const [name, change] of [
  ["code twice", (query: string) => `${query}&code=b`],
  ["state twice", (query: string) => `${query}&state=b`],
  ["iss twice", (query: string) => `${query}&iss=b`],
  ["an id_token", (query: string) => `${query}&id_token=a`],
  ["an access_token", (query: string) => `${query}&access_token=a`],
  ["a response", (query: string) => `${query}&response=a`],
  ["a code of 5 KB", (query: string) => query.replace(/code=[^&]+/, `code=${"c".repeat(5_000)}`)],
  ["a query of 9 KB", (query: string) => `${query}&x=${"x".repeat(9_000)}`],
  ["a NUL", (query: string) => `${query}&x=%00`],
  ["a line break", (query: string) => query.replace(/code=/, "code=%0d%0a")],
  ["bytes that are not UTF-8", (query: string) => `${query}&x=%ff`],
  [
    "an iss of somebody else",
    (query: string) => query.replace(/iss=[^&]+/, "iss=https%3A%2F%2Fevil.test"),
  ],
  ["no iss", (query: string) => query.replace(/&iss=[^&]+/, "")],
] as const) {
  test(`callback: ${name} is 400, without a token request`, async (t) => {
    const at = await scriptedWorld(t);
    const browser = at.it.browser();
    const [path = "", query = ""] = at.callback(await at.start(browser)).split("?");
    const page = await at.arrive(browser, `${path}?${change(query)}`);
    assert.equal(page.status, 400);
    assert.match(page.headers["content-type"] ?? "", /^text\/html/);
    assert.match(page.body, new RegExp(`href="${at.it.url(LOGIN)}"`));
    assert.equal(at.idp.hits("/token"), 0);
    assert.deepEqual(at.it.events(), ["authn_login_fail"]);
    assert.equal(at.it.audit[0]?.tenant, null);
  });
}

test("callback: a code of 64 KiB is refused before anything looks at it", async (t) => {
  const at = await scriptedWorld(t);
  const target = `/api/auth/callback?code=${"c".repeat(65_536)}&state=x`;
  const answer = await rawRequest(
    at.it.server.port,
    `GET ${target} HTTP/1.1\r\nHost: app.example.org\r\n\r\n`,
  );
  assert.ok([414, 431].includes(answer.status), String(answer.status));
  assert.equal(at.idp.requests.length, 0);
});

for (const [name, prepare] of [
  ["a browser without a cookie", (at: World) => Promise.resolve(at.it.browser())],
  [
    "another browser with a sign-in of its own",
    async (at: World) => {
      const other = at.it.browser();
      await at.start(other);
      return other;
    },
  ],
] as const) {
  test(`callback: the state of somebody else in ${name} is 400, without a token request`, async (t) => {
    const at = await scriptedWorld(t);
    const url = at.callback(await at.start(at.it.browser()));
    const victim = await prepare(at);
    const page = await at.arrive(victim, url);
    assert.equal(page.status, 400);
    assert.match(page.body, /sign_in_expired/);
    assert.equal(page.headers["set-cookie"], undefined);
    assert.equal(at.idp.hits("/token"), 0);
    assert.equal(await meStatus(at, victim), 401);
  });
}

test("callback: the state of somebody else leaves a signed-in browser as it is", async (t) => {
  const at = await scriptedWorld(t);
  const victim = await at.signedIn({ sub: "victim" });
  const before = victim.cookie(COOKIE);
  const attacker = at.it.browser();
  const page = await at.arrive(victim, at.callback(await at.start(attacker)));
  assert.equal(page.headers.location, at.it.url("/"));
  assert.equal(at.idp.hits("/token"), 1);
  assert.equal(victim.cookie(COOKIE), before);
  assert.match((await at.get(victim, "/api/auth/me")).body, /Name of victim/);
});

test("callback: a replay goes to the start page where somebody is signed in, else it is 400", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const url = at.callback(await at.start(browser));
  const former = browser.copy();
  await at.arrive(browser, url);
  const replayed = await at.arrive(browser, url);
  assert.equal(replayed.status, 303);
  assert.equal(replayed.headers.location, at.it.url("/"));
  assert.equal((await at.arrive(former, url)).status, 400);
  assert.equal(at.idp.hits("/token"), 1);
});

test("callback: eleven minutes after the start is too late", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const url = at.callback(await at.start(browser));
  at.time.advance(660_000);
  const page = await at.arrive(browser, url);
  assert.equal(page.status, 400);
  assert.match(page.body, /sign_in_expired/);
  assert.equal(at.idp.hits("/token"), 0);
});

test("callback: ten at once make one token request and one session", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const url = at.callback(await at.start(browser));
  const twins = Array.from({ length: 10 }, () => browser.copy());
  const pages = await Promise.all(twins.map((twin) => at.arrive(twin, url)));
  const statuses = pages.map(({ status }) => status).sort();
  assert.deepEqual(statuses, [303, ...Array<number>(9).fill(400)]);
  assert.equal(at.idp.hits("/token"), 1);
  const sessions = await at.it.store.query.selectFrom("loginSessions").selectAll().execute();
  assert.equal(sessions.length, 1);
});

const NOWHERE = [
  "//evil.test",
  "/\\evil.test",
  "/%09/evil.test",
  "/%5cevil.test",
  "https:evil.test",
  "https://evil.test/",
  "/..//evil.test",
  "/@evil/../..//evil.test",
  "javascript:alert(1)",
  "/%0d%0aSet-Cookie:x=1",
  "/\u2028",
  "",
  `/${"a".repeat(3_000)}`,
  "/api/auth/logout",
  "/api/auth/../auth/login",
  "evil.test",
  "\\\\evil.test",
  "/%2f/evil.test",
];
test("return_to: what does not lie on our own origin becomes the start page", async (t) => {
  const at = await scriptedWorld(t);
  for (const path of NOWHERE) {
    const browser = at.it.browser();
    const url = await at.start(browser, `?return_to=${encodeURIComponent(path)}`);
    const page = await at.arrive(browser, at.callback(url));
    assert.equal(page.headers.location, at.it.url("/"), path);
    const again = await browser.step(at.it.url(`${LOGIN}?return_to=${encodeURIComponent(path)}`));
    assert.equal(again.headers.location, at.it.url("/"), path);
  }
  const browser = at.it.browser();
  const twice = await at.start(browser, "?return_to=/a&return_to=/b");
  assert.equal((await at.arrive(browser, at.callback(twice))).headers.location, at.it.url("/"));
});

test("return_to: what came at the start is used, whatever the callback says", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const url = at.callback(await at.start(browser, "?return_to=/%40evil?x=1%26y=2"));
  const page = await at.arrive(browser, `${url}&return_to=https%3A%2F%2Fevil.test`);
  assert.equal(page.headers.location, at.it.url("/@evil?x=1&y=2"));
});

for (const [error, status, word] of [
  ["access_denied", 403, "access_denied"],
  ["login_required", 400, "login_required"],
  ["temporarily_unavailable", 503, "idp_unavailable"],
  ["server_error", 400, "idp_error"],
  ["<b>other</b>", 400, "sign_in_refused"],
] as const) {
  test(`callback: the provider's error ${error} is ${status}, in words of our own`, async (t) => {
    const at = await scriptedWorld(t);
    const browser = at.it.browser();
    const url = at.callback(await at.start(browser), {
      code: undefined,
      error,
      error_description: "<img src=x onerror=alert(1)> canary-of-a-description",
      error_uri: "https://evil.test/canary",
    });
    const page = await at.arrive(browser, url);
    assert.equal(page.status, status);
    assert.ok(page.body.includes(`Code: ${word}`));
    assert.doesNotMatch(page.body, /canary|onerror|<b>|evil\.test/);
    // It has used the sign-in up.
    assert.match((await at.arrive(browser, url)).body, /sign_in_expired/);
  });
}

test("callback: an error without a state of the browser's own touches neither session nor sign-in", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const url = await at.start(browser, "?reauth=1");
  const foreign = at.callback(await at.start(at.it.browser()), {
    code: undefined,
    error: "access_denied",
  });
  await at.arrive(browser, foreign);
  assert.equal(await meStatus(at, browser), 200);
  assert.equal((await at.arrive(browser, at.callback(url))).headers.location, at.it.url("/"));
  assert.equal(at.it.events().at(-1), "session_renewed");
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

for (const [name, answer, status] of [
  ["resets the connection", reset, 503],
  ["answers 500 in HTML", plain(500, "<h1>oops"), 502],
  ["answers 200 in HTML", plain(200, "<h1>oops"), 502],
  ["redirects", plain(302, "", { location: "http://169.254.169.254/" }), 502],
  ["answers with an empty object", plain(200, "{}", { "content-type": "application/json" }), 502],
  [
    "refuses the code",
    plain(400, '{"error":"invalid_grant"}', { "content-type": "application/json" }),
    400,
  ],
  [
    "does not know this server",
    plain(401, '{"error":"invalid_client"}', { "content-type": "application/json" }),
    500,
  ],
] as const) {
  test(`outage: a token endpoint that ${name} is ${status}, and the next sign-in works`, async (t) => {
    const at = await scriptedWorld(t);
    const browser = at.it.browser();
    const url = at.callback(await at.start(browser));
    at.idp.script.answers.set("/token", answer);
    const page = await at.arrive(browser, url);
    assert.equal(page.status, status);
    assert.match(page.body, new RegExp(`href="${at.it.url(LOGIN)}">Try again`));
    assert.doesNotMatch(page.body, /oops|169\.254/);
    at.idp.script.answers.clear();
    assert.match((await at.arrive(browser, url)).body, /sign_in_expired/);
    await at.signIn(browser);
    assert.equal(await meStatus(at, browser), 200);
  });
}

test("outage: a token endpoint that hangs is 504 after five seconds", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const url = at.callback(await at.start(browser));
  at.idp.script.answers.set("/token", hang);
  const arrived = at.idp.arrival("/token");
  const page = at.arrive(browser, url);
  await arrived;
  at.time.advance(5_000);
  assert.equal((await page).status, 504);
});

test("outage: without its provider login is 503, for a program as JSON, and sessions go on", async (t) => {
  const at = await scriptedWorld(t);
  assert.deepEqual(at.it.auth.state, { oidc: "unknown", oidc_client: "confidential" });
  await at.idp.stop();
  const browser = at.it.browser();
  const page = await browser.step(at.it.url(LOGIN));
  assert.equal(page.status, 503);
  assert.equal(page.headers["retry-after"], "30");
  assert.match(page.headers["content-type"] ?? "", /^text\/html/);
  assert.equal(at.it.auth.state["oidc"], "down");
  const asked = await browser.step(at.it.url(LOGIN), { headers: { accept: "application/json" } });
  assert.equal(asked.status, 503);
  assert.equal(asked.headers["content-type"], "application/problem+json");
  assert.equal(codeOf(asked), "idp_unavailable");
  await at.idp.restart();
  at.time.advance(60_000);
  await at.signIn(browser);
  await at.idp.stop();
  assert.equal(await meStatus(at, browser), 200);
});

test("stop: a callback that is under way is finished, and its session is there afterwards", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const url = at.callback(await at.start(browser));
  let release = (): void => {};
  at.idp.script.answers.set("/userinfo", (response) => {
    release = () => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(at.idp.script.userinfo));
    };
  });
  const arrived = at.idp.arrival("/userinfo");
  const page = at.arrive(browser, url);
  await arrived;
  const stopped = at.it.server.stop();
  await assert.rejects(at.it.browser().step(at.it.url(LOGIN)), "nobody begins any more");
  release();
  const done = await page;
  await stopped;
  assert.equal(done.status, 303);
  const value = browser.cookie(COOKIE) ?? "";
  const asker = { requestId: "r", address: "127.0.0.1", userAgent: "" };
  assert.equal((await at.it.auth.authenticateCookie(value, asker, false)).ok, true);
});

test("canary: no state, nonce, code, verifier, token or secret in a log, an audit event or a page", async (t) => {
  const at = await scriptedWorld(t);
  const secrets = new Map<string, string>();
  let idToken = "";
  at.idp.script.idToken = async (claims) => {
    idToken = await at.idp.sign(claims);
    return idToken;
  };
  at.idp.script.tokenResponse = {
    access_token: "canary-access-token",
    refresh_token: "canary-refresh-token",
  };
  at.idp.script.claims = { at_hash: undefined, canary_claim: "canary-claim" };
  const browser = at.it.browser();
  const url = await at.start(browser);
  const callback = at.callback(url);
  await at.arrive(browser, callback);
  await at.get(browser, "/api/auth/me");
  await browser.navigate(at.it.url("/"));
  await at.arrive(browser, callback);
  await at.arrive(at.it.browser(), callback);
  const cookie = browser.cookie(COOKIE) ?? "";
  await at.act(browser, "POST", "/api/auth/logout");
  const asked = new URL(url).searchParams;
  secrets.set("state", asked.get("state") ?? "").set("nonce", asked.get("nonce") ?? "");
  secrets.set("code", new URL(callback).searchParams.get("code") ?? "");
  secrets.set("verifier", at.idp.tokenRequest.form.get("code_verifier") ?? "");
  secrets
    .set("id token", idToken)
    .set("cookie", cookie)
    .set("sid", cookie.split(".")[2] ?? "");
  for (const canary of ["canary-access-token", "canary-refresh-token", "canary-claim"])
    secrets.set(canary, canary);
  const rows = await Promise.all(
    (["loginSessions", "pendingSignIns", "users", "logoutTickets"] as const).map((table) =>
      at.it.store.query.selectFrom(table).selectAll().execute(),
    ),
  );
  const written = [
    ...at.it.lines,
    ...at.oidcLog.lines,
    JSON.stringify(at.it.audit),
    JSON.stringify(at.it.httpAudit),
    JSON.stringify(rows),
  ];
  const pages = browser.pages
    .map(({ body, headers }) => `${body}${headers.location ?? ""}`)
    .slice(1);
  for (const [name, secret] of secrets) {
    assert.ok(secret.length >= 12, name);
    for (const text of [...written, ...pages])
      assert.ok(!text.includes(secret), `${name} in ${text.slice(0, 80)}`);
  }
});
