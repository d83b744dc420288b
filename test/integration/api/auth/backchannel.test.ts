/** The plan `oidcc-client-back-channel-logout-rp-basic` by HTTP, and more. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import test from "node:test";
import type { Browser } from "../../../support/api/browser.ts";
import { scriptedWorld, type World } from "../../../support/api/scripted-world.ts";
import { CLIENT_SECRET } from "../../../support/oidc/rig.ts";
import type { Claims } from "../../../support/oidc/scripted-idp.ts";

const PATH = "/api/auth/backchannel-logout";
const EVENT = "http://schemas.openid.net/event/backchannel-logout";

let tokens = 0;

function claimsOf({ idp, time }: World, patch: Claims = {}): Claims {
  const now = time.epochSec();
  return {
    iss: idp.issuer,
    aud: "hawser",
    iat: now,
    exp: now + 120,
    jti: `logout-${++tokens}`,
    sid: "idp-session-1",
    sub: "subject-1",
    events: { [EVENT]: {} },
    ...patch,
  };
}

async function tokenOf(at: World, patch: Claims = {}, header: Claims = {}): Promise<string> {
  at.idp.script.header = { typ: "logout+jwt", ...header };
  const token = await at.idp.sign(claimsOf(at, patch));
  at.idp.script.header = {};
  return token;
}

/** Without a signature, or with a MAC that is made with the client's secret. */
function forged(at: World, alg: "none" | "HS256"): string {
  const encode = (value: object): string =>
    Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${encode({ alg, typ: "logout+jwt" })}.${encode(claimsOf(at))}`;
  if (alg === "none") return `${signed}.`;
  return `${signed}.${createHmac("sha256", CLIENT_SECRET).update(signed).digest("base64url")}`;
}

function send(at: World, token: string, headers: Readonly<Record<string, string>> = {}) {
  return at.it.post(PATH, new URLSearchParams({ logout_token: token }).toString(), headers);
}

async function meStatus(at: World, browser: Browser): Promise<number> {
  return (await at.get(browser, "/api/auth/me")).status;
}

test("oidcc-client-test-rp-backchannel-rpinitlogout: ends the session that it names and what runs in its name", async (t) => {
  const at = await scriptedWorld(t);
  const mine = await at.signedIn({ sid: "idp-session-1" });
  const elsewhere = await at.signedIn({ sid: "idp-session-2" });
  const others = await at.signedIn({ sub: "subject-2", sid: "idp-session-3" });
  const [session] = await at.it.store.query
    .selectFrom("loginSessions")
    .selectAll()
    .where("idpSid", "=", "idp-session-1")
    .execute();
  let cut = 0;
  at.it.context.endings.begin({
    ref: session?.key.slice(0, 12) ?? "",
    cut() {
      cut += 1;
    },
  });
  const before = at.it.audit.length;
  const answer = await send(at, await tokenOf(at), { "x-request-id": "notice-1" });
  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), "");
  assert.equal(answer.headers.get("cache-control"), "no-store");
  assert.equal(answer.headers.get("set-cookie"), null);
  assert.equal(cut, 1);
  const statuses = [mine, elsewhere, others].map((browser) => meStatus(at, browser));
  assert.deepEqual(await Promise.all(statuses), [401, 200, 200]);
  const events = at.it.audit.slice(before);
  assert.deepEqual(
    events.map(({ event }) => event),
    ["bcl_received", "session_logout"],
  );
  assert.deepEqual(events[0]?.detail, { outcome: "applied", ended: 1 });
  assert.equal(events[1]?.detail?.["reason"], "provider");
  assert.equal(events[1]?.tenant, session?.tenant);
  assert.equal(events[1]?.asker?.requestId, "notice-1");
});

const BAD: readonly (readonly [string, (at: World) => Promise<string> | string])[] = [
  ["oidcc-client-test-rp-backchannel-rpinitlogout-alg-none", (at) => forged(at, "none")],
  [
    "oidcc-client-test-rp-backchannel-rpinitlogout-no-event",
    (at) => tokenOf(at, { events: undefined }),
  ],
  ["oidcc-client-test-rp-backchannel-rpinitlogout-with-nonce", (at) => tokenOf(at, { nonce: "n" })],
  ["oidcc-client-test-rp-backchannel-rpinitlogout-wrong-alg", (at) => forged(at, "HS256")],
  [
    "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-aud",
    (at) => tokenOf(at, { aud: "other" }),
  ],
  [
    "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-event",
    (at) => tokenOf(at, { events: { "http://other": {} } }),
  ],
  [
    "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-iss",
    (at) => tokenOf(at, { iss: "https://evil.test" }),
  ],
  ["no jti", (at) => tokenOf(at, { jti: undefined })],
  ["neither sid nor sub", (at) => tokenOf(at, { sid: undefined, sub: undefined })],
  ["expired", (at) => tokenOf(at, { exp: at.time.epochSec() - 60 })],
  ["of an hour ago", (at) => tokenOf(at, { iat: at.time.epochSec() - 3_600 })],
  ["of the next hour", (at) => tokenOf(at, { iat: at.time.epochSec() + 3_600 })],
  ["an ID token", (at) => at.idp.sign(at.idp.ordinaryClaims("n", "a"))],
  ["no token", () => ""],
];
for (const [name, make] of BAD) {
  test(`${name}: 400, and the session goes on`, async (t) => {
    const at = await scriptedWorld(t);
    const browser = await at.signedIn();
    const before = at.it.audit.length;
    const answer = await send(at, await make(at));
    assert.equal(answer.status, 400);
    assert.deepEqual(await answer.json(), { error: "invalid_request" });
    assert.equal(answer.headers.get("cache-control"), "no-store");
    assert.equal(await meStatus(at, browser), 200);
    const [event, ...more] = at.it.audit.slice(before);
    assert.equal(more.length, 0);
    assert.deepEqual([event?.event, event?.detail?.["outcome"]], ["bcl_received", "refused"]);
  });
}

test("back channel: takes a POST of a form of 16 KiB at most, and no cookie", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  const get = await browser.step(at.it.url(PATH));
  assert.deepEqual([get.status, get.headers.allow], [405, "POST, OPTIONS"]);
  const json = { "content-type": "application/json" };
  assert.equal((await at.it.post(PATH, "{}", json)).status, 415);
  assert.equal((await at.it.post(PATH, `logout_token=${"x".repeat(16_384)}`)).status, 413);
  const most = `logout_token=${"x".repeat(16_384 - "logout_token=".length)}`;
  assert.equal((await at.it.post(PATH, most)).status, 400);
  assert.equal((await at.it.post(PATH, "x".repeat(1_048_576))).status, 413);
  const twice = `logout_token=${await tokenOf(at)}&logout_token=x`;
  assert.equal((await at.it.post(PATH, twice)).status, 400);
  const cookie = `__Host-hawser_sid=${browser.cookie("__Host-hawser_sid")}`;
  const unknown = await tokenOf(at, { sid: "unknown", sub: undefined });
  assert.equal((await send(at, unknown, { cookie })).status, 200);
  assert.equal(await meStatus(at, browser), 200);
});

test("back channel: a sub alone ends the sessions of before; a late one does not end a newer sign-in", async (t) => {
  const at = await scriptedWorld(t);
  const one = await at.signedIn({ sid: "a" });
  const two = await at.signedIn({ sid: undefined });
  const bobs = await at.signedIn({ sub: "bob" });
  at.time.advance(1_000);
  const late = await tokenOf(at, { sid: undefined });
  at.time.advance(1_000);
  const again = await at.signedIn({ sid: "c" });
  assert.equal((await send(at, late)).status, 200);
  const statuses = [one, two, bobs, again].map((browser) => meStatus(at, browser));
  assert.deepEqual(await Promise.all(statuses), [401, 401, 200, 200]);
});

test("back channel: the sid of one person with the sub of another ends neither", async (t) => {
  const at = await scriptedWorld(t);
  const anns = await at.signedIn({ sub: "ann", sid: "a" });
  const bobs = await at.signedIn({ sub: "bob", sid: "b" });
  assert.equal((await send(at, await tokenOf(at, { sid: "a", sub: "bob" }))).status, 200);
  assert.deepEqual([await meStatus(at, anns), await meStatus(at, bobs)], [200, 200]);
});

test("back channel: a replayed token is 200 and has no effect", async (t) => {
  const at = await scriptedWorld(t);
  const token = await tokenOf(at);
  await at.signedIn();
  assert.equal((await send(at, token)).status, 200);
  // The provider's session lives on, and the person signs in with it once the notice is forgotten.
  const { query } = at.it.store;
  await query.deleteFrom("logoutNotices").execute();
  const again = await at.signedIn();
  assert.equal((await send(at, token)).status, 200);
  assert.equal(await meStatus(at, again), 200);
  assert.equal(at.it.audit.at(-1)?.detail?.["outcome"], "replayed");
});

for (const [name, patch] of [
  ["with a sid", {}],
  ["with a sub alone", { sid: undefined }],
] as const) {
  test(`race: a notice ${name} that comes while the callback is under way leaves no session`, async (t) => {
    const at = await scriptedWorld(t);
    const browser = at.it.browser();
    const url = at.callback(await at.start(browser));
    at.idp.script.answers.set("/userinfo", async (response) => {
      assert.equal((await send(at, await tokenOf(at, patch))).status, 200);
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ sub: "subject-1", name: "x", email: "x" }));
    });
    const page = await at.arrive(browser, url);
    assert.equal(page.status, 400);
    assert.match(page.body, /sign_in_expired/);
    assert.equal(await meStatus(at, browser), 401);
    const sessions = await at.it.store.query.selectFrom("loginSessions").selectAll().execute();
    assert.deepEqual(sessions, []);
  });
}

test("back channel: a hundred bad ones a minute from an address, then 429 until the minute is over", async (t) => {
  const at = await scriptedWorld(t);
  const browser = await at.signedIn();
  for (let count = 0; count < 100; count++) {
    const statuses = await send(at, "x");
    assert.equal(statuses.status, 400);
  }
  const over = await send(at, await tokenOf(at));
  assert.equal(over.status, 429);
  assert.ok(Number(over.headers.get("retry-after")) > 0);
  assert.equal(await meStatus(at, browser), 200);
  at.time.advance(60_000);
  assert.equal((await send(at, await tokenOf(at))).status, 200);
  assert.equal(await meStatus(at, browser), 401);
});

test("back channel: good ones are not counted", async (t) => {
  const at = await scriptedWorld(t, { auth: { backchannelFailuresPerMinute: 1 } });
  for (let count = 0; count < 5; count++)
    assert.equal((await send(at, await tokenOf(at))).status, 200);
});

test("back channel: tokens with unknown keys fetch the provider's keys once in five seconds", async (t) => {
  const at = await scriptedWorld(t);
  await at.signedIn();
  const before = at.idp.hits("/jwks");
  for (let count = 0; count < 50; count++) {
    assert.equal((await send(at, await tokenOf(at, {}, { kid: `unknown-${count}` }))).status, 400);
  }
  assert.ok(at.idp.hits("/jwks") - before <= 2);
});

test("back channel: while the provider's keys cannot be had it is 503, and nobody's failure", async (t) => {
  const at = await scriptedWorld(t, { auth: { backchannelFailuresPerMinute: 1 } });
  const token = await tokenOf(at);
  await at.idp.stop();
  for (let count = 0; count < 3; count++) {
    const answer = await send(at, token);
    assert.equal(answer.status, 503);
    assert.deepEqual(await answer.json(), { error: "idp_unavailable" });
  }
});

test("back channel: while the database is away it is 500, so that the provider tries again", async (t) => {
  const at = await scriptedWorld(t);
  const token = await tokenOf(at);
  await at.it.store.close();
  const answer = await send(at, token);
  assert.equal(answer.status, 500);
  assert.deepEqual(await answer.json(), { error: "internal" });
});
