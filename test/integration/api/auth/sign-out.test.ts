import assert from "node:assert/strict";
import test from "node:test";
import type { Browser, Page } from "../../../support/api/browser.ts";
import { codeOf, scriptedWorld, type World } from "../../../support/api/scripted-world.ts";
import { hang } from "../../../support/oidc/scripted-idp.ts";

const COOKIE = "__Host-hawser_sid";
const LOGOUT = "/api/auth/logout";

async function meStatus(at: World, browser: Browser): Promise<number> {
  return (await at.get(browser, "/api/auth/me")).status;
}

function isRemoved(page: Page): boolean {
  return /^__Host-hawser_sid=; .*Max-Age=0$/.test(page.headers["set-cookie"]?.[0] ?? "");
}

/** Where a sign-out goes on. */
async function signOut(at: World, browser: Browser): Promise<string> {
  const page = await at.act(browser, "POST", LOGOUT);
  assert.equal(page.status, 200, page.body);
  return at.it.url(JSON.parse(page.body).continue);
}

test("logout: ends the session, removes the cookie and what the browser has stored, cuts what runs", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const replay = browser.copy();
  const [session] = await at.it.store.query.selectFrom("loginSessions").selectAll().execute();
  let cut = 0;
  at.it.context.endings.begin({
    ref: session?.key.slice(0, 12) ?? "",
    cut() {
      cut += 1;
    },
  });
  const page = await at.act(browser, "POST", LOGOUT);
  assert.equal(page.status, 200);
  assert.ok(isRemoved(page));
  assert.equal(page.headers["clear-site-data"], '"cache", "storage"');
  assert.equal(page.headers["cache-control"], "no-store");
  assert.equal(cut, 1);
  assert.equal(await meStatus(at, replay), 401);
  const event = at.it.audit.at(-1);
  assert.deepEqual(
    [event?.event, event?.detail?.["reason"], event?.sessionRef],
    ["session_logout", "signed_out", session?.key.slice(0, 12)],
  );
});

test("logout: twice, and without a session, has the same answer", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const twin = browser.copy();
  const pending = at.it.browser();
  await at.start(pending);
  const shapes = new Set<string>();
  for (const each of [browser, twin, browser, at.it.browser(), pending]) {
    const page = await at.act(each, "POST", LOGOUT);
    assert.ok(isRemoved(page));
    const { date: _, "x-request-id": __, ...headers } = page.headers;
    const body = page.body.replace(/t=[A-Za-z0-9_-]{43}"/, 't="');
    shapes.add(JSON.stringify([page.status, headers, body]));
  }
  assert.equal(shapes.size, 1);
  assert.equal(at.it.events().filter((event) => event === "session_logout").length, 1);
});

test("logout: GET is 405 and ends nothing", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const page = await browser.step(at.it.url(LOGOUT));
  assert.deepEqual([page.status, page.headers.allow], [405, "POST, OPTIONS"]);
  assert.equal(await meStatus(at, browser), 200);
});

const OWN = "https://app.example.org";
const SPA = "https://spa.example.net";
const FORM = "application/x-www-form-urlencoded";
const CSRF = { "x-hawser-csrf": "1" };
for (const [name, headers, body, status] of [
  ["a script of ours", { ...CSRF, origin: OWN, "sec-fetch-site": "same-origin" }, "", 200],
  ["a program without a browser's fields", { ...CSRF }, "", 200],
  [
    "a script of ours with JSON",
    { ...CSRF, origin: OWN, "content-type": "application/json" },
    "{}",
    200,
  ],
  [
    "a script of a configured application",
    { ...CSRF, origin: SPA, "sec-fetch-site": "cross-site" },
    "",
    200,
  ],
  [
    "a form of ours",
    { origin: OWN, "sec-fetch-site": "same-origin", "content-type": FORM },
    "a=b",
    303,
  ],
  ["an empty form of ours", { origin: OWN, "sec-fetch-site": "same-origin" }, "", 303],
  [
    "a form of another site",
    { origin: "https://evil.test", "sec-fetch-site": "cross-site", "content-type": FORM },
    "a=b",
    403,
  ],
  [
    "a form of a neighbour",
    { origin: "https://evil.example.org", "sec-fetch-site": "same-site", "content-type": FORM },
    "",
    403,
  ],
  [
    "a form of a configured application",
    { origin: SPA, "sec-fetch-site": "cross-site", "content-type": FORM },
    "",
    403,
  ],
  [
    "a form that only claims our origin",
    { origin: OWN, "sec-fetch-site": "cross-site", "content-type": FORM },
    "",
    403,
  ],
  [
    "a form that hides its origin",
    { origin: "null", "sec-fetch-site": "same-origin", "content-type": FORM },
    "",
    403,
  ],
  ["a form without an origin", { "sec-fetch-site": "same-origin", "content-type": FORM }, "", 403],
  ["a form of an old browser", { origin: OWN, "content-type": FORM }, "", 403],
  [
    "a multipart form of ours",
    {
      origin: OWN,
      "sec-fetch-site": "same-origin",
      "content-type": "multipart/form-data; boundary=x",
    },
    "--x--",
    403,
  ],
  ["JSON as text", { ...CSRF, origin: OWN, "content-type": "text/plain" }, "{}", 403],
  ["a sandboxed frame", { origin: "null", "sec-fetch-site": "cross-site" }, "", 403],
  ["a sandboxed frame with the header", { ...CSRF, origin: "null" }, "", 403],
  ["a foreign script without Origin", { ...CSRF, "sec-fetch-site": "cross-site" }, "", 403],
  ["another value of the header", { "x-hawser-csrf": "true", origin: OWN }, "", 403],
  ["nothing at all", {}, "", 403],
] as const) {
  test(`logout: from ${name} is ${status}`, async (t) => {
    const at = await scriptedWorld(t, { auth: { corsOrigins: [SPA] } });
    const browser = await at.signedIn();
    const before = at.it.audit.length;
    const answer = await at.it.post(LOGOUT, body, {
      "content-type": "",
      cookie: `${COOKIE}=${browser.cookie(COOKIE)}`,
      ...headers,
    });
    assert.equal(answer.status, status, await answer.text());
    assert.equal(await meStatus(at, browser), status === 403 ? 200 : 401);
    if (status !== 403) return;
    assert.equal(answer.headers.get("set-cookie"), null);
    assert.deepEqual(
      at.it.audit.slice(before).map(({ event }) => event),
      ["malicious_csrf"],
    );
  });
}

test("logout: a pre-flight of another origin gets no leave, and runs nothing", async (t) => {
  const at = await scriptedWorld(t, { auth: { corsOrigins: [SPA] } });
  const browser = await at.signedIn();
  const ask = (origin: string): Promise<Page> =>
    browser.fetch(at.it.url(LOGOUT), {
      method: "OPTIONS",
      from: origin,
      headers: {
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-hawser-csrf",
        origin,
      },
    });
  for (const origin of [
    "https://evil.test",
    "null",
    "https://spa.example.net.evil.test",
    "https://app.example.org.evil.test",
  ]) {
    const page = await ask(origin);
    assert.equal(page.headers["access-control-allow-origin"], undefined, origin);
  }
  assert.equal((await ask(SPA)).headers["access-control-allow-origin"], SPA);
  assert.equal(await meStatus(at, browser), 200);
});

test("continue: goes to the provider with the registered address, a state and the ID token, once", async (t) => {
  const at = await scriptedWorld(t);
  let idToken = "";
  at.idp.script.idToken = async (claims) => {
    idToken = await at.idp.sign(claims);
    return idToken;
  };
  const browser = await at.signedIn();
  const url = await signOut(at, browser);
  assert.doesNotMatch(browser.pages.at(-1)?.body ?? "", /eyJ/);
  for (const method of ["HEAD", "POST"]) {
    assert.equal((await browser.step(url, { method, from: at.it.baseUrl })).status, 405);
  }
  browser.extraHeaders = { "sec-purpose": "prefetch" };
  assert.equal((await browser.step(url)).status, 204);
  browser.extraHeaders = {};
  const page = await browser.step(url, { from: at.it.baseUrl });
  assert.equal(page.status, 303);
  const end = new URL(page.headers.location ?? "");
  assert.equal(end.origin + end.pathname, `${at.idp.issuer}/end-session`);
  assert.equal(end.searchParams.get("client_id"), "hawser");
  assert.equal(end.searchParams.get("post_logout_redirect_uri"), at.it.url("/api/auth/logged-out"));
  assert.match(end.searchParams.get("state") ?? "", /^[A-Za-z0-9_-]{43}$/);
  assert.equal(end.searchParams.get("id_token_hint"), idToken);
  const again = await browser.step(url);
  assert.equal(again.headers.location, at.it.url("/api/auth/logged-out"));
});

test("continue: a ticket is good for a minute, and one that nobody has is the local page", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const url = await signOut(at, browser);
  const spare = await signOut(at, await at.signedIn());
  at.time.advance(59_999);
  assert.match((await browser.step(spare)).headers.location ?? "", /end-session/);
  at.time.advance(1);
  const none = await signOut(at, at.it.browser());
  for (const late of [
    url,
    none,
    `${none}x`,
    at.it.url("/api/auth/logout/continue"),
    `${none}&t=x`,
  ]) {
    const page = await browser.step(late);
    assert.deepEqual(
      [page.status, page.headers.location],
      [303, at.it.url("/api/auth/logged-out")],
    );
  }
});

test("continue: the ID token stays here where that is configured", async (t) => {
  const at = await scriptedWorld(t, { oidc: { oidcIdTokenHint: false } });
  const browser = await at.signedIn();
  const [session] = await at.it.store.query.selectFrom("loginSessions").selectAll().execute();
  assert.equal(session?.sealedTokens, null);
  const page = await browser.step(await signOut(at, browser));
  const end = new URL(page.headers.location ?? "");
  assert.equal(end.origin, at.idp.issuer);
  assert.equal(end.searchParams.has("id_token_hint"), false);
});

test("continue: a provider without a page of its own makes it a local sign-out", async (t) => {
  const at = await scriptedWorld(t);
  at.idp.script.metadata = { end_session_endpoint: undefined };
  const browser = await at.signedIn();
  const page = await browser.navigate(await signOut(at, browser), { from: at.it.baseUrl });
  assert.equal(page.url.href, at.it.url("/api/auth/logged-out"));
  assert.match(page.body, /You are signed out here/);
});

test("tokens: those of another row do not open; the sign-out is clean and told to the audit log", async (t) => {
  const at = await scriptedWorld(t);
  const browsers = [await at.signedIn({ sub: "ann" }), await at.signedIn({ sub: "bob" })];
  const { query } = at.it.store;
  const [one, two] = await query.selectFrom("loginSessions").selectAll().execute();
  assert.ok(one !== undefined && two !== undefined);
  for (const [row, other] of [
    [one, two],
    [two, one],
  ] as const) {
    await query
      .updateTable("loginSessions")
      .set({ sealedTokens: other.sealedTokens })
      .where("key", "=", row.key)
      .execute();
  }
  for (const browser of browsers) {
    assert.equal(await meStatus(at, browser), 200);
    const page = await browser.step(await signOut(at, browser));
    const end = new URL(page.headers.location ?? "");
    assert.equal(end.searchParams.has("id_token_hint"), false);
    assert.equal(await meStatus(at, browser), 401);
  }
  assert.equal(at.it.events().filter((event) => event === "session_tokens_unreadable").length, 2);
});

test("outage: a sign-out asks nobody, and goes on locally when the provider does not answer", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  // A server that has just started, and has no copy of the metadata.
  const fresh = await scriptedWorld(t, {
    store: at.it.store,
    auth: {
      sessionSecrets: at.it.options.sessionSecrets,
      tokenEncKeys: at.it.options.tokenEncKeys,
    },
  });
  const moved = fresh.it.browser();
  moved.plant(at.it.baseUrl, COOKIE, browser.cookie(COOKIE) ?? "");
  fresh.idp.script.answers.set("/.well-known/openid-configuration", hang);
  const url = await signOut(fresh, moved);
  assert.equal(fresh.idp.requests.length, 0);
  assert.equal(await meStatus(at, browser), 401);
  const arrived = fresh.idp.arrival("/.well-known/openid-configuration");
  const page = moved.step(url);
  await arrived;
  fresh.time.advance(2_000);
  assert.equal((await page).headers.location, at.it.url("/api/auth/logged-out"));
});

test("oidcc-client-test-rp-init-logout: the browser lands on the page that says signed out", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const page = await browser.step(await signOut(at, browser));
  const asked = new URL(page.headers.location ?? "").searchParams;
  const back = `${asked.get("post_logout_redirect_uri")}?state=${asked.get("state")}`;
  const landed = await browser.navigate(back, { from: at.idp.issuer });
  assert.equal(landed.status, 200);
  assert.match(landed.body, /<h1>Signed out<\/h1>/);
});

for (const [name, query] of [
  ["oidcc-client-test-rp-init-logout-other-state", "?state=another"],
  ["oidcc-client-test-rp-init-logout-no-state", ""],
  [
    "a state twice, and an address to go to",
    "?state=a&state=b&post_logout_redirect_uri=https://evil.test",
  ],
] as const) {
  test(`${name}: shows the same page, and leads nowhere else`, async (t) => {
    const at = await scriptedWorld(t);
    const page = await at.it
      .browser()
      .step(at.it.url(`/api/auth/logged-out${query}`), { from: at.idp.issuer });
    assert.equal(page.status, 200);
    assert.equal(page.headers.location, undefined);
    assert.match(page.body, /<h1>Signed out<\/h1>/);
    assert.doesNotMatch(page.body, /evil/);
  });
}

test("start page: a person signs out with the form there, without a script", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const page = await browser.navigate(at.it.url("/"));
  const action = /<form method="post" action="([^"]+)"/.exec(page.body)?.[1] ?? "";
  const stepped = await browser.submitStep(action, at.it.baseUrl);
  assert.equal(stepped.status, 303);
  assert.ok(isRemoved(stepped));
  const next = await browser.step(stepped.headers.location ?? "", { from: at.it.baseUrl });
  assert.match(next.headers.location ?? "", /end-session/);
  // The page sends Origin with its form in spite of the header that holds it back.
  assert.equal(page.headers["referrer-policy"], "no-referrer");
  assert.match(page.body, /<meta name="referrer" content="same-origin">/);
  const foreign = await at.it.browser().submitStep(action, "https://evil.test");
  assert.equal(foreign.status, 403);
  assert.equal(codeOf(foreign), "csrf_failed");
});
