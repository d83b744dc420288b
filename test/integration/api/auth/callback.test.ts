import assert from "node:assert/strict";
import test from "node:test";
import type { Browser } from "../../../support/api/browser.ts";
import { LOGIN, scriptedWorld, type World } from "../../../support/api/scripted-world.ts";
import { rawRequest } from "../../../support/forward/raw-request.ts";

const COOKIE = "__Host-hawser_sid";

async function meStatus(at: World, browser: Browser): Promise<number> {
  return (await at.get(browser, "/api/auth/me")).status;
}

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
