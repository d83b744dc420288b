import assert from "node:assert/strict";
import test from "node:test";
import { addPendingSignIn } from "../../../../src/api/store/index.ts";
import type { Browser, Page } from "../../../support/api/browser.ts";
import {
  LOGIN,
  scriptedWorld,
  type World,
  withoutRequestId,
} from "../../../support/api/scripted-world.ts";

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
  // But for the note that the browser has another id.
  const left = await at.it.store.query.selectFrom("pendingSignIns").selectAll().execute();
  assert.deepEqual(
    left.map(({ stateDigest, sealed }) => [stateDigest, sealed]),
    [["replaced", ""]],
  );
});

test("rotation: a sign-in as somebody else ends the session of before, and nothing of it is left", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn({ sub: "ann" });
  const anns = browser.copy();
  let cut = 0;
  const [session] = await at.it.store.query.selectFrom("loginSessions").selectAll().execute();
  at.it.context.endings.begin({
    ref: session?.key.slice(0, 12) ?? "",
    cut() {
      cut += 1;
    },
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

test("ended: whatever cookie a browser is left with, a person can sign in again", async (t) => {
  const at = await scriptedWorld(t);
  const lost = at.it.browser();
  const url = at.callback(await at.start(lost));
  // The answer with the new cookie did not arrive.
  await at.arrive(lost.copy(), url);
  const ended = await at.signedIn();
  await at.act(ended.copy(), "DELETE", "/api/auth/sessions");
  await at.act(ended.copy(), "POST", "/api/auth/logout");
  const idle = await at.signedIn();
  at.time.advance(31 * MINUTE_MS);
  await at.it.auth.removeExpired();
  for (const browser of [lost, ended, idle]) {
    await at.signIn(browser);
    assert.equal(await meStatus(at, browser), 200);
  }
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
  at.it.context.endings.begin({
    ref: session?.key.slice(0, 12) ?? "",
    cut() {
      cut += 1;
    },
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
  at.it.context.endings.begin({
    ref: key.slice(0, 12),
    cut() {
      cut += 1;
    },
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
    assert.equal(page.headers["retry-after"], "2");
    assert.deepEqual(setCookies(page), []);
  }
  assert.ok(browser.cookie(COOKIE) !== null);
});
