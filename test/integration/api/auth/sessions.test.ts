import assert from "node:assert/strict";
import test from "node:test";
import { json, route } from "../../../../src/api/index.ts";
import { addPendingSignIn } from "../../../../src/api/store/index.ts";
import { keyRing } from "../../../support/api/auth-rig.ts";
import type { Browser, Page } from "../../../support/api/browser.ts";
import {
  codeOf,
  LOGIN,
  scriptedWorld,
  type World,
  withoutRequestId,
} from "../../../support/api/scripted-world.ts";
import { rawRequest } from "../../../support/forward/raw-request.ts";

const COOKIE = "__Host-hawser_sid";
const ME = "/api/auth/me";
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

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

test("rotation: a sign-in has a new id, and the cookie of before is good for nothing", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const url = at.callback(await at.start(browser));
  await at.start(browser);
  const before = browser.copy();
  await at.arrive(browser, url);
  assert.notEqual(browser.cookie(COOKIE), before.cookie(COOKIE));
  assert.equal(await meStatus(at, browser), 200);
  assert.equal(await meStatus(at, before), 401);
  const left = await at.it.store.query.selectFrom("pendingSignIns").selectAll().execute();
  assert.deepEqual(left, []);
});

test("rotation: a sign-in as somebody else ends the session of before, and nothing of it is left", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn({ sub: "ann" });
  const anns = browser.copy();
  let cut = 0;
  const [session] = await at.it.store.query.selectFrom("loginSessions").selectAll().execute();
  at.it.context.endings.onEnd(session?.key.slice(0, 12) ?? "", () => {
    cut += 1;
  });
  await at.signIn(browser, { sub: "bob" }, "?reauth=1");
  const me = await at.get(browser, ME);
  assert.match(me.body, /Name of bob/);
  assert.doesNotMatch(me.body, /ann/);
  assert.equal(await meStatus(at, anns), 401);
  assert.equal(cut, 1);
  const sessions = await at.it.store.query.selectFrom("loginSessions").select("sub").execute();
  assert.deepEqual(sessions, [{ sub: "bob" }]);
  const events = at.it.audit
    .slice(-3)
    .map(({ event, detail }) => `${event} ${detail?.["reason"] ?? ""}`);
  assert.deepEqual(events, ["session_logout replaced", "authn_login_success ", "session_created "]);
});

test("rotation: a request with the cookie of before does not remove the new one", async (t) => {
  const at = await scriptedWorld(t);
  const browser = at.it.browser();
  const url = at.callback(await at.start(browser));
  const tab = browser.copy();
  // A page of an application polls while the person is at the provider.
  const pending = await at.get(tab, ME);
  assert.equal(pending.status, 401);
  assert.deepEqual(setCookies(pending), []);
  await at.arrive(browser, url);
  const late = await at.get(tab, ME);
  assert.equal(late.status, 401);
  assert.deepEqual(setCookies(late), []);
});

test("idle: thirty minutes without activity end a session, and activity puts that off", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  for (let round = 0; round < 3; round++) {
    at.time.advance(30 * MINUTE_MS - 1_000);
    assert.equal(await meStatus(at, browser), 200);
  }
  at.time.advance(30 * MINUTE_MS + 1_000);
  assert.equal(await meStatus(at, browser), 401);
});

test("idle: a tab that only asks does not keep its session alive, and learns when it ends", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const { session } = JSON.parse((await at.get(browser, ME)).body);
  assert.equal(Date.parse(session.idle_expires_at) - at.time.epochMs(), 30 * MINUTE_MS);
  for (let minute = 1; minute < 30; minute++) {
    at.time.advance(MINUTE_MS);
    const page = await at.get(browser, `${ME}?passive=1`);
    assert.equal(page.status, 200, `minute ${minute}`);
    assert.equal(JSON.parse(page.body).session.idle_expires_at, session.idle_expires_at);
  }
  at.time.advance(2 * MINUTE_MS);
  assert.equal(await meStatus(at, browser, "?passive=1"), 401);
});

test("time: a session that has run out is removed, and what still runs in its name is cut", async (t) => {
  const at = await scriptedWorld(t);
  await at.signedIn();
  const [session] = await at.it.store.query.selectFrom("loginSessions").selectAll().execute();
  let cut = 0;
  at.it.context.endings.onEnd(session?.key.slice(0, 12) ?? "", () => {
    cut += 1;
  });
  await at.it.auth.removeExpired();
  assert.equal(cut, 0);
  at.time.advance(30 * MINUTE_MS);
  await at.it.auth.removeExpired();
  assert.equal(cut, 1);
  const { event, detail } = at.it.audit.at(-1) ?? {};
  assert.deepEqual([event, detail?.["reason"]], ["session_expired", "timed_out"]);
});

test("absolute: twelve hours end a session that is in constant use", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  for (let past = 0; past < 12 * HOUR_MS - 20 * MINUTE_MS; past += 20 * MINUTE_MS) {
    at.time.advance(20 * MINUTE_MS);
    assert.equal(await meStatus(at, browser), 200);
  }
  at.time.advance(20 * MINUTE_MS - 1_000);
  assert.equal(await meStatus(at, browser), 200);
  at.time.advance(1_000);
  assert.equal(await meStatus(at, browser), 401);
});

test("ended: a cookie of a session that is over is answered as none is, removed, and locks nobody out", async (t) => {
  const at = await scriptedWorld(t, { authFailuresMax: 3 });
  const idle = await at.signedIn();
  const out = await at.signedIn();
  const outTab = out.copy();
  await at.act(out, "POST", "/api/auth/logout");
  at.time.advance(31 * MINUTE_MS);
  const none = await at.get(at.it.browser(), ME);
  for (const browser of [idle, outTab]) {
    const again = browser.copy();
    const page = await at.get(browser, ME);
    assert.equal(page.status, 401);
    assert.equal(withoutRequestId(page), withoutRequestId(none));
    assert.deepEqual(browser.cookiesFor(at.it.baseUrl), []);
    for (let count = 0; count < 10; count++) assert.equal(await meStatus(at, again.copy()), 401);
  }
  const guesser = at.it.browser();
  guesser.plant(at.it.baseUrl, COOKIE, "v1.k1.guess");
  const statuses: number[] = [];
  for (let count = 0; count < 4; count++) statuses.push(await meStatus(at, guesser.copy()));
  assert.deepEqual(statuses, [401, 401, 401, 429]);
});

test("sessions: a person has ten, and with an eleventh the oldest ends", async (t) => {
  const at = await scriptedWorld(t);
  const browsers: Browser[] = [];
  for (let count = 0; count < 11; count++) {
    browsers.push(await at.signedIn());
    at.time.advance(1_000);
  }
  const statuses = await Promise.all(browsers.map((browser) => meStatus(at, browser)));
  assert.deepEqual(statuses, [401, ...Array<number>(10).fill(200)]);
  assert.equal(at.it.events().filter((event) => event === "session_expired").length, 1);
});

test("sessions: are listed without anything that opens one, and the current one is marked", async (t) => {
  const at = await scriptedWorld(t);
  const first = await at.signedIn({ sub: "ann" });
  at.time.advance(1_000);
  const second = await at.signedIn({ sub: "ann" });
  await at.signedIn({ sub: "bob" });
  const page = await at.get(second, "/api/auth/sessions");
  const { sessions } = JSON.parse(page.body);
  assert.equal(sessions.length, 2);
  assert.deepEqual(
    sessions.map(({ current }: { current: boolean }) => current),
    [true, false],
  );
  const [session] = sessions;
  assert.deepEqual(Object.keys(session).sort(), [
    "created_at",
    "current",
    "id",
    "ip",
    "last_seen_at",
    "user_agent",
  ]);
  assert.equal(session.user_agent, "Firefox on Linux");
  assert.equal(session.ip, "127.0.0.1");
  const rows = await at.it.store.query.selectFrom("loginSessions").selectAll().execute();
  for (const { key } of rows) assert.ok(!page.body.includes(key.slice(0, 12)));
  assert.ok(!page.body.includes((first.cookie(COOKIE) ?? "").split(".")[2] ?? "-"));
});

test("sessions: one ends by its id, its own person's alone, and what runs in its name is cut", async (t) => {
  const at = await scriptedWorld(t);
  const first = await at.signedIn({ sub: "ann" });
  const second = await at.signedIn({ sub: "ann" });
  const bobs = await at.signedIn({ sub: "bob" });
  const idOf = async (browser: Browser): Promise<string> => {
    const { sessions } = JSON.parse((await at.get(browser, "/api/auth/sessions")).body);
    return sessions.find(({ current }: { current: boolean }) => current).id;
  };
  const unknown = await at.act(second, "DELETE", `/api/auth/sessions/${"0".repeat(24)}`);
  const malformed = await at.act(second, "DELETE", "/api/auth/sessions/x");
  const foreign = await at.act(second, "DELETE", `/api/auth/sessions/${await idOf(bobs)}`);
  for (const page of [unknown, malformed, foreign]) {
    assert.equal(page.status, 404);
    assert.equal(withoutRequestId(page), withoutRequestId(unknown));
  }
  const rows = await at.it.store.query.selectFrom("loginSessions").selectAll().execute();
  const id = await idOf(first);
  const key = rows.find(({ publicId }) => publicId === id)?.key ?? "";
  let cut = 0;
  at.it.context.endings.onEnd(key.slice(0, 12), () => {
    cut += 1;
  });
  assert.equal((await at.act(second, "DELETE", `/api/auth/sessions/${id}`)).status, 204);
  assert.equal(cut, 1);
  assert.equal(await meStatus(at, first), 401);
  assert.equal(await meStatus(at, second), 200);
  assert.equal(await meStatus(at, bobs), 200);
  const own = await at.act(second, "DELETE", `/api/auth/sessions/${await idOf(second)}`);
  assert.equal(own.status, 204);
  assert.deepEqual(second.cookiesFor(at.it.baseUrl), []);
});

test("sessions: all others of a person end at once", async (t) => {
  const at = await scriptedWorld(t);
  const [one, two, three] = [await at.signedIn(), await at.signedIn(), await at.signedIn()];
  const bobs = await at.signedIn({ sub: "bob" });
  const page = await at.act(two, "DELETE", "/api/auth/sessions");
  assert.deepEqual(JSON.parse(page.body), { ended: 2 });
  const statuses = [one, two, three, bobs].map((browser) => meStatus(at, browser));
  assert.deepEqual(await Promise.all(statuses), [401, 200, 401, 200]);
});

test("me: says who it is and nothing else, and without a session that there is none", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn({ sub: "ann", canary: "x", groups: ["staff"] });
  const me = JSON.parse((await at.get(browser, ME)).body);
  const { id, ...shown } = me.user;
  assert.match(id, /^[0-9a-f]{24}$/);
  assert.deepEqual(shown, { name: "Name of ann", email: "ann@example.org" });
  assert.deepEqual(Object.keys(me).sort(), ["session", "tenant", "user"]);
  assert.deepEqual(Object.keys(me.session).sort(), [
    "absolute_expires_at",
    "created_at",
    "idle_expires_at",
  ]);
  const nobody = at.it.browser();
  assert.equal(await meStatus(at, nobody), 401);
  const optional = await at.get(nobody, `${ME}?optional=1`);
  assert.deepEqual([optional.status, JSON.parse(optional.body)], [200, { user: null }]);
  assert.equal(await meStatus(at, nobody, "?optional=0"), 401);
  nobody.plant(at.it.baseUrl, COOKIE, "garbage");
  assert.equal(await meStatus(at, nobody, "?optional=1"), 200);
  const bearer = { authorization: "Bearer hwk_00000000_x" };
  const key = await nobody.fetch(at.it.url(`${ME}?optional=1`), {
    from: at.it.baseUrl,
    headers: bearer,
  });
  assert.equal(key.status, 401);
  const out = browser.copy();
  await at.act(browser, "POST", "/api/auth/logout");
  assert.deepEqual(JSON.parse((await at.get(out, `${ME}?optional=1`)).body), { user: null });
});

test("me: another site cannot read it, nor load it as a script", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const cookie = { cookie: `${COOKIE}=${browser.cookie(COOKIE)}` };
  for (const fields of [
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-dest": "script" },
    { "sec-fetch-dest": "image" },
  ]) {
    const page = await browser.fetch(at.it.url(ME), {
      from: at.it.baseUrl,
      headers: { ...cookie, ...fields },
    });
    assert.equal(page.status, 403);
    assert.equal(page.headers["cross-origin-resource-policy"], "same-origin");
  }
  // A browser does not even send the cookie.
  const foreign = await browser.fetch(at.it.url(ME), { from: "https://evil.test" });
  assert.equal(foreign.status, 401);
  assert.equal(browser.sent.at(-1)?.cookie, "");
});

test("store: nothing in it opens a session, and tokens are not there in the clear", async (t) => {
  const at = await scriptedWorld(t, { authFailuresMax: 10_000 });
  let idToken = "";
  at.idp.script.idToken = async (claims) => {
    idToken = await at.idp.sign(claims);
    return idToken;
  };
  const browser = await at.signedIn();
  await at.start(at.it.browser());
  await addPendingSignIn(at.it.store, { browserKey: "b", stateDigest: "s", sealed: "x" });
  const texts = new Set<string>();
  for (const table of ["loginSessions", "pendingSignIns", "users", "tenants"] as const) {
    for (const row of await at.it.store.query.selectFrom(table).selectAll().execute()) {
      for (const value of Object.values(row)) texts.add(String(value));
    }
  }
  assert.ok(texts.size > 15);
  const parts = (browser.cookie(COOKIE) ?? "").split(".");
  for (const text of texts) {
    assert.ok(!text.includes(idToken) && !text.includes(parts[2] ?? "-"));
    for (const value of [text, `v1.k1.${text}.${parts[3]}`]) {
      const thief = at.it.browser();
      thief.plant(at.it.baseUrl, COOKIE, encodeURI(value).replaceAll(";", ""));
      assert.equal(await meStatus(at, thief), 401);
    }
  }
  assert.equal(await meStatus(at, browser), 200);
});

test("database: while it is away a cookie is 503, not 401, and so are the routes that are open", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const url = at.callback(await at.start(at.it.browser()));
  await at.it.store.close();
  for (const page of [
    await at.get(browser, ME),
    await browser.step(at.it.url(LOGIN)),
    await at.arrive(browser, url),
    await browser.step(at.it.url("/")),
    await at.act(browser, "POST", "/api/auth/logout"),
    await at.it.browser().step(at.it.url(LOGIN)),
  ]) {
    assert.equal(page.status, 503);
    assert.equal(page.headers["retry-after"], "5");
    assert.deepEqual(setCookies(page), []);
  }
  assert.ok(browser.cookie(COOKIE) !== null);
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
