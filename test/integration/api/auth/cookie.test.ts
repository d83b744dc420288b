import assert from "node:assert/strict";
import test from "node:test";
import { json, route } from "../../../../src/api/index.ts";
import { keyRing } from "../../../support/api/auth-rig.ts";
import type { Browser, Page } from "../../../support/api/browser.ts";
import { codeOf, LOGIN, scriptedWorld, type World } from "../../../support/api/scripted-world.ts";
import { rawRequest } from "../../../support/forward/raw-request.ts";

const COOKIE = "__Host-hawser_sid";
const ME = "/api/auth/me";

async function meStatus(at: World, browser: Browser, query = ""): Promise<number> {
  return (await at.get(browser, `${ME}${query}`)).status;
}

function setCookies(page: Page): readonly string[] {
  return page.headers["set-cookie"] ?? [];
}

test("cookie: there is one, for the pending and for the signed-in browser, with exactly these attributes", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  await at.signIn(browser);
  await at.act(browser, "POST", "/api/auth/logout");
  const lines = browser.pages.flatMap(setCookies);
  assert.equal(lines.length, 3);
  for (const line of lines) {
    const [pair = "", ...attributes] = line.split("; ");
    assert.ok(pair.startsWith(`${COOKIE}=`));
    const expected = ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"];
    if (pair === `${COOKIE}=`) expected.splice(1, 0, "Max-Age=0");
    assert.deepEqual(attributes.sort(), expected);
  }
  assert.deepEqual(browser.scriptCookies(at.it.baseUrl), []);
  for (const page of browser.pages) assert.equal(page.headers["cache-control"], "no-store");
});

test("cookie: a start gives one where there is none in use, and leaves the one that is alone", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  assert.equal(setCookies(await browser.step(at.it.url(LOGIN))).length, 1);
  assert.equal(setCookies(await browser.step(at.it.url(LOGIN))).length, 0);
  await at.signIn(browser);
  assert.equal(setCookies(await browser.step(at.it.url(`${LOGIN}?reauth=1`))).length, 0);
  assert.equal(await meStatus(at, browser), 200);
  // An id with nothing under it is not taken up again.
  const old = at.it.browser();
  await at.start(old);
  const before = old.cookie(COOKIE);
  at.time.advance(600_000);
  assert.equal(setCookies(await old.step(at.it.url(LOGIN))).length, 1);
  assert.notEqual(old.cookie(COOKIE), before);
});

test("cookie: on loopback over plain HTTP it has another name and no Secure", async (t) => {
  const at = await scriptedWorld(t, { oidc: { publicBaseUrl: "http://localhost:3721" } });
  const browser = at.it.browser();
  const page = await at.signIn(browser);
  assert.match(
    setCookies(page)[0] ?? "",
    /^hawser_sid=v1\.k1\.[^;]+; Path=\/; HttpOnly; SameSite=Lax$/,
  );
  assert.equal(await meStatus(at, browser), 200);
});

test("cookie: lasts as long as the session where that is configured", async (t) => {
  const at = await scriptedWorld(t, { auth: { sessionPersistent: true } });
  const browser = at.it.browser();
  const [pending = ""] = setCookies(await browser.step(at.it.url(LOGIN)));
  assert.doesNotMatch(pending, /Max-Age/);
  const [line = ""] = setCookies(await at.signIn(browser));
  assert.match(line, /; Max-Age=43200$/);
});

test("cookie: of anybody else's making is no cookie, and the audit log is told", async (t) => {
  const at = await scriptedWorld(t, { authFailuresMax: 10_000 });
  const browser = await at.signedIn();
  const other = await at.signedIn();
  const value = browser.cookie(COOKIE) ?? "";
  const parts = value.split(".");
  const foreignMac = [...parts.slice(0, 3), (other.cookie(COOKIE) ?? "").split(".")[3]].join(".");
  const flipped = parts.map((_, index) =>
    parts
      .map((part, at) => (at === index ? (part[0] === "A" ? "B" : "A") + part.slice(1) : part))
      .join("."),
  );
  const bad = [
    ...flipped,
    foreignMac,
    value.slice(0, -1),
    `${value}=`,
    "x".repeat(4_000),
    value.replace(".k1.", ".k9."),
    "ü",
  ];
  for (const text of bad) {
    const thief = at.it.browser();
    thief.plant(at.it.baseUrl, COOKIE, encodeURI(text));
    const before = at.it.audit.length;
    const page = await at.get(thief, ME);
    assert.equal(page.status, 401, text.slice(0, 60));
    assert.equal(codeOf(page), "unauthenticated");
    const [event, ...more] = at.it.audit.slice(before);
    assert.equal(more.length, 0);
    assert.equal(event?.event, "authz_fail");
    assert.match(String(event?.detail?.["reason"]), /^cookie_/);
    assert.deepEqual(thief.cookiesFor(at.it.baseUrl), [], "it is removed");
    const start = await thief.navigate(at.it.url("/"));
    assert.match(start.body, /Sign in/);
  }
  assert.equal(await meStatus(at, browser), 200);
});

test("cookie: two of the name, a name after a foreign blank, and old syntax are no cookie", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const pair = `${COOKIE}=${browser.cookie(COOKIE)}`;
  for (const field of [
    `${pair}; ${pair}`,
    `\u00a0${pair}`,
    `\u000b${pair}`,
    `$Version=1,${pair}`,
    `${COOKIE}="${browser.cookie(COOKIE)}"`,
    `x=${"y".repeat(8_192)}; ${pair}`,
  ]) {
    const head = `GET ${ME} HTTP/1.1\r\nHost: app.example.org\r\nCookie: ${field}\r\n\r\n`;
    const answer = await rawRequest(at.it.server.port, Buffer.from(head, "latin1"));
    assert.ok([400, 401].includes(answer.status), field.slice(0, 40));
  }
  assert.ok(at.it.httpAudit.some(({ event }) => event === "duplicate_cookie"));
  assert.equal(await meStatus(at, browser), 200);
});

test("key ring: a new first key keeps everybody signed in, and moves their cookies to it", async (t) => {
  const first = keyRing("k1");
  const at = await scriptedWorld(t, { auth: { sessionSecrets: first } });
  const browser = await at.signedIn();
  const rotated = await scriptedWorld(t, {
    store: at.it.store,
    auth: { sessionSecrets: `${keyRing("k2")},${first}` },
  });
  const moved = rotated.it.browser();
  moved.plant(at.it.baseUrl, COOKIE, browser.cookie(COOKIE) ?? "");
  const page = await rotated.get(moved, ME);
  assert.equal(page.status, 200);
  assert.match(
    setCookies(page)[0] ?? "",
    new RegExp(`^${COOKIE}=v1\\.k2\\.[^;]+; Path=/; HttpOnly; SameSite=Lax; Secure$`),
  );
  assert.equal(setCookies(await rotated.get(moved, ME)).length, 0);
  assert.equal(await meStatus(rotated, moved), 200);
  // Pages do it too.
  const visitor = rotated.it.browser();
  visitor.plant(at.it.baseUrl, COOKIE, browser.cookie(COOKIE) ?? "");
  assert.match(setCookies(await visitor.navigate(at.it.url("/")))[0] ?? "", /=v1\.k2\./);
  const dropped = await scriptedWorld(t, { store: at.it.store });
  const late = dropped.it.browser();
  late.plant(at.it.baseUrl, COOKIE, browser.cookie(COOKIE) ?? "");
  assert.equal(await meStatus(dropped, late), 401);
});

test("streams: an answer that began before a sign-out does not bring the cookie back", async (t) => {
  const first = keyRing("k1");
  let release = (): void => {};
  let entered = (): void => {};
  const slow = route({
    method: "GET",
    path: "/slow",
    class: "session",
    summary: "Waits.",
    responses: { 200: { description: "Done." } },
    handler: async () => {
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      entered();
      await gate;
      return json(200, {});
    },
  });
  const before = await scriptedWorld(t, { auth: { sessionSecrets: first } });
  const signedIn = await before.signedIn();
  const at = await scriptedWorld(t, {
    store: before.it.store,
    auth: { sessionSecrets: `${keyRing("k2")},${first}` },
    routes: [slow],
  });
  const browser = at.it.browser();
  browser.plant(at.it.baseUrl, COOKIE, signedIn.cookie(COOKIE) ?? "");
  const inside = new Promise<void>((resolve) => {
    entered = resolve;
  });
  const answer = at.get(browser, "/slow");
  await inside;
  await at.act(browser, "POST", "/api/auth/logout");
  release();
  assert.equal((await answer).status, 200);
  assert.deepEqual(setCookies(await answer), []);
  assert.equal(browser.cookie(COOKIE), null);
});
