import assert from "node:assert/strict";
import test from "node:test";
import type { Browser } from "../../../support/api/browser.ts";
import { codeOf, LOGIN, scriptedWorld, type World } from "../../../support/api/scripted-world.ts";
import { hang, plain, reset } from "../../../support/oidc/scripted-idp.ts";

const COOKIE = "__Host-hawser_sid";

async function meStatus(at: World, browser: Browser): Promise<number> {
  return (await at.get(browser, "/api/auth/me")).status;
}

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

test("outage: a provider that does not answer is 503 to whoever would begin, after five seconds", async (t) => {
  const at = await scriptedWorld(t);
  const path = "/.well-known/openid-configuration";
  at.idp.script.answers.set(path, hang);
  const browser = at.it.browser();
  const arrived = at.idp.arrival(path);
  const page = browser.step(at.it.url(LOGIN));
  await arrived;
  at.time.advance(5_000);
  const { status, headers } = await page;
  assert.deepEqual([status, headers["retry-after"]], [503, "30"]);
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
