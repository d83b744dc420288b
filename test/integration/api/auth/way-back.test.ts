/** Where a browser is led after a sign-in, and what other tabs of it do meanwhile. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Page } from "../../../support/api/browser.ts";
import { LOGIN, scriptedWorld, type World } from "../../../support/api/scripted-world.ts";

const COOKIE = "__Host-hawser_sid";
/** A read of the API that another site may not have. */
const INNER = "/api/users?limit=1&x='%22";

function targetOf(page: Page): { readonly refresh: string | undefined; readonly link: string } {
  const plain = (text: string): string =>
    text.replace(/&#(\d+);/g, (_whole, code) => String.fromCharCode(Number(code)));
  const refresh = /<meta http-equiv="refresh" content="0;url=([^"]*)">/.exec(page.body)?.[1];
  const link = plain(/<a href="([^"]*)">Continue/.exec(page.body)?.[1] ?? "");
  return { refresh: refresh === undefined ? undefined : plain(refresh), link };
}

async function arriveAt(at: World, returnTo: string, from: string | null): Promise<Page> {
  const browser = at.it.browser();
  const query = `?return_to=${encodeURIComponent(returnTo)}`;
  const url = at.callback(await at.start(browser, query));
  const page = await browser.step(url, { from });
  // What a redirect would come to, and what the page comes to.
  const redirected = await browser.step(at.it.url("/api/users"), { from });
  assert.equal(redirected.status, from === null ? 200 : 403);
  const led = await browser.step(at.it.url("/api/users"), { from: at.it.baseUrl });
  assert.equal(led.status, 200);
  return page;
}

test("way back: to the API, from a provider of another site, a page of ours leads on by itself", async (t) => {
  const at = await scriptedWorld(t);
  const page = await arriveAt(at, INNER, at.idp.issuer);
  assert.equal(page.status, 200);
  assert.equal(page.headers.location, undefined);
  assert.match(String(page.headers["set-cookie"]), new RegExp(`^${COOKIE}=v1`));
  assert.match(String(page.headers["content-security-policy"]), /default-src 'none'/);
  assert.doesNotMatch(page.body, /<script/i);
  const url = new URL(INNER, at.it.baseUrl).href;
  assert.deepEqual(targetOf(page), { refresh: url, link: url });
});

test("way back: where starts are not confirmed, the page waits for the person", async (t) => {
  const at = await scriptedWorld(t, { auth: { confirmCrossSiteStart: false } });
  const page = await arriveAt(at, INNER, at.idp.issuer);
  assert.equal(page.status, 200);
  const url = new URL(INNER, at.it.baseUrl).href;
  assert.deepEqual(targetOf(page), { refresh: undefined, link: url });
});

test("way back: elsewhere, and for what is no browser, it is a redirect", async (t) => {
  const at = await scriptedWorld(t);
  for (const [path, from] of [
    ["/devices", at.idp.issuer],
    ["/apian/x", at.idp.issuer],
    ["/cli-login?x=1", at.idp.issuer],
    ["/api/users", null],
  ] as const) {
    const page = await arriveAt(at, path, from);
    assert.equal(page.status, 303, path);
    assert.equal(page.headers.location, at.it.url(path));
  }
});

test("way back: somebody who is signed in and sent by another site goes on by a click alone", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const start = at.it.url(`${LOGIN}?return_to=/api/users`);
  const page = await browser.step(start, { from: "https://evil.test" });
  assert.equal(page.status, 200);
  assert.deepEqual(targetOf(page), { refresh: undefined, link: at.it.url("/api/users") });
  const own = await browser.step(start, { from: at.it.baseUrl });
  assert.equal(own.headers.location, at.it.url("/api/users"));
});

test("other tab: a start that comes behind a sign-in does not take its cookie away", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const first = at.callback(await at.start(browser));
  // Sent before the answer of the sign-in has reached the browser.
  const tab = browser.copy();
  await at.arrive(browser, first);
  const page = await tab.step(at.it.url(`${LOGIN}?return_to=/b`));
  assert.equal(page.status, 303);
  assert.equal(page.headers["set-cookie"], undefined);
  const second = at.callback(page.headers.location ?? "");
  const arrived = await at.arrive(browser, second);
  assert.equal(arrived.headers.location, at.it.url("/"));
  assert.equal((await at.get(browser, "/api/auth/me")).status, 200);
  // Had the cookie been lost on its way, the browser would get in by the old one.
  const lost = await at.arrive(tab, second);
  assert.equal(lost.headers.location, at.it.url("/b"));
  assert.equal((await at.get(tab, "/api/auth/me")).status, 200);
});

test("other tab: who signs out while a callback is under way is signed out", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const url = at.callback(await at.start(browser, "?return_to=/a"));
  at.idp.script.idToken = async (claims) => {
    assert.equal((await at.act(browser.copy(), "POST", "/api/auth/logout")).status, 200);
    return await at.idp.sign(claims);
  };
  const page = await at.arrive(browser, url);
  assert.equal(page.headers.location, at.it.url("/"));
  assert.equal(page.headers["set-cookie"], undefined);
  const sessions = await at.it.store.query.selectFrom("loginSessions").selectAll().execute();
  assert.deepEqual(sessions, []);
  assert.equal(at.it.audit.at(-1)?.detail?.["reason"], "overtaken");
  at.idp.script.idToken = null;
  await at.signIn(browser);
  assert.equal((await at.get(browser, "/api/auth/me")).status, 200);
});

test("other tab: the same while somebody proves again who they are", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const url = at.callback(await at.start(browser, "?reauth=1"));
  at.idp.script.idToken = async (claims) => {
    assert.equal((await at.act(browser.copy(), "POST", "/api/auth/logout")).status, 200);
    return await at.idp.sign(claims);
  };
  const page = await at.arrive(browser, url);
  assert.equal(page.headers.location, at.it.url("/"));
  assert.equal(page.headers["set-cookie"], undefined);
  assert.equal((await at.get(browser, "/api/auth/me")).status, 401);
});

test("other tab: of two callbacks at once one signs in, and the other leads to the start page", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const urls = [
    at.callback(await at.start(browser, "?return_to=/a")),
    at.callback(await at.start(browser, "?return_to=/b")),
  ];
  const pages = await Promise.all(urls.map((url) => at.arrive(browser.copy(), url)));
  assert.deepEqual(
    pages.map(({ status }) => status),
    [303, 303],
  );
  assert.equal(pages.filter(({ headers }) => headers["set-cookie"] !== undefined).length, 1);
  assert.equal(pages.filter(({ headers }) => headers.location === at.it.url("/")).length, 1);
  const sessions = await at.it.store.query.selectFrom("loginSessions").selectAll().execute();
  assert.equal(sessions.length, 1);
});
