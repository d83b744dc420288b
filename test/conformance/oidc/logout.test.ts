/** The plans `oidcc-client-back-channel-logout-rp-basic` and `oidcc-client-rp-initiated-logout-rp-basic`, and more. */
import assert from "node:assert/strict";
import test from "node:test";
import type { OidcErrorCode } from "../../../src/api/oidc/index.ts";
import { macSigned, makeKey, sign, unsigned } from "../../support/oidc/keys.ts";
import { type Rig, rejected, rig } from "../../support/oidc/rig.ts";
import type { Claims } from "../../support/oidc/scripted-idp.ts";

const FORM = "application/x-www-form-urlencoded";
const EVENT = "http://schemas.openid.net/event/backchannel-logout";
const INVALID = "ERR_OIDC_LOGOUT_TOKEN_INVALID";

let tokens = 0;

function claimsOf({ idp, time }: Rig, patch: Claims = {}): Claims {
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

async function tokenOf(it: Rig, patch: Claims = {}, header: Claims = {}): Promise<string> {
  it.idp.script.header = { typ: "logout+jwt", ...header };
  const token = await it.idp.sign(claimsOf(it, patch));
  it.idp.script.header = {};
  return token;
}

function send({ party }: Rig, token: string): ReturnType<typeof party.backchannelLogout.receive> {
  const body = new TextEncoder().encode(new URLSearchParams({ logout_token: token }).toString());
  return party.backchannelLogout.receive(`${FORM}; charset=utf-8`, body);
}

/** A session that a sign-in made just now. */
async function signedIn(it: Rig, id: string, claims: Claims = {}): Promise<void> {
  it.idp.script.claims = claims;
  const sub = typeof claims["sub"] === "string" ? claims["sub"] : "subject-1";
  it.idp.script.userinfo = { sub, name: "x", email: "x" };
  it.logouts.sessions.set(id, { id, ...(await it.signIn()).identity });
  it.idp.script.claims = {};
}

test("oidcc-client-test-rp-backchannel-rpinitlogout: a logout token ends the session that it names", async (t) => {
  const it = await rig(t);
  await signedIn(it, "mine");
  await signedIn(it, "mine elsewhere", { sid: "idp-session-2" });
  await signedIn(it, "another's", { sid: "idp-session-3", sub: "subject-2" });
  const { outcome, notice } = await send(it, await tokenOf(it));
  assert.equal(outcome, "applied");
  assert.equal(notice.sid, "idp-session-1");
  assert.deepEqual([...it.logouts.sessions.keys()], ["mine elsewhere", "another's"]);
});

interface Refusal {
  readonly name: string;
  readonly make: (it: Rig) => Promise<string> | string;
}

const REFUSALS: readonly Refusal[] = [
  {
    name: "oidcc-client-test-rp-backchannel-rpinitlogout-alg-none",
    make: (it) => unsigned(claimsOf(it)),
  },
  {
    name: "oidcc-client-test-rp-backchannel-rpinitlogout-no-event",
    make: (it) => tokenOf(it, { events: undefined }),
  },
  {
    name: "oidcc-client-test-rp-backchannel-rpinitlogout-with-nonce",
    make: (it) => tokenOf(it, { nonce: "nonce" }),
  },
  {
    name: "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-alg",
    make: (it) => macSigned(claimsOf(it), "secret"),
  },
  {
    name: "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-aud",
    make: (it) => tokenOf(it, { aud: "another-client" }),
  },
  {
    name: "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-event",
    make: (it) => tokenOf(it, { events: { "http://schemas.openid.net/event/other": {} } }),
  },
  {
    name: "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-iss",
    make: (it) => tokenOf(it, { iss: "https://evil.example" }),
  },
  { name: "an event that is no object", make: (it) => tokenOf(it, { events: { [EVENT]: "yes" } }) },
  { name: "events in an array", make: (it) => tokenOf(it, { events: [EVENT] }) },
  { name: "neither sid nor sub", make: (it) => tokenOf(it, { sid: undefined, sub: undefined }) },
  { name: "an empty sid", make: (it) => tokenOf(it, { sid: "" }) },
  { name: "a sub that is a number", make: (it) => tokenOf(it, { sub: 7 }) },
  { name: "no jti", make: (it) => tokenOf(it, { jti: undefined }) },
  { name: "an empty jti", make: (it) => tokenOf(it, { jti: "" }) },
  { name: "no iat", make: (it) => tokenOf(it, { iat: undefined }) },
  { name: "an iat of an hour ago", make: (it) => tokenOf(it, { iat: it.time.epochSec() - 3_600 }) },
  { name: "an iat in an hour", make: (it) => tokenOf(it, { iat: it.time.epochSec() + 3_600 }) },
  { name: "an exp that is past", make: (it) => tokenOf(it, { exp: it.time.epochSec() - 40 }) },
  { name: "no typ", make: (it) => tokenOf(it, {}, { typ: undefined }) },
  { name: "another typ", make: (it) => tokenOf(it, {}, { typ: "at+jwt" }) },
  { name: "a signature by another key", make: (it) => foreign(it) },
  { name: "a text that is no token", make: () => "a.b.c" },
  { name: "an ID token", make: async (it) => (await it.signIn()).idToken.reveal() },
];

async function foreign(it: Rig): Promise<string> {
  const [published] = it.idp.keys;
  return await sign(claimsOf(it), makeKey(), { kid: published?.kid, typ: "logout+jwt" });
}

for (const { name, make } of REFUSALS) {
  test(`logout token: ${name} is 400, and the session lives`, async (t) => {
    const it = await rig(t);
    await signedIn(it, "mine");
    const error = await rejected(async () => send(it, await make(it)), INVALID);
    assert.equal(error.row.status, 400);
    assert.equal(error.row.word, "invalid_request");
    assert.deepEqual([...it.logouts.sessions.keys()], ["mine"]);
  });
}

test("logout token: typ may be missing by a setting, and an ID token is still none", async (t) => {
  const it = await rig(t, { oidcLogoutTypOptional: true });
  assert.equal((await send(it, await tokenOf(it, {}, { typ: undefined }))).outcome, "applied");
  const { idToken } = await laterSignIn(it);
  await rejected(() => send(it, idToken.reveal()), INVALID);
  await rejected(async () => send(it, await tokenOf(it, {}, { typ: "at+jwt" })), INVALID);
});

async function laterSignIn(it: Rig): ReturnType<Rig["signIn"]> {
  it.idp.script.header = {};
  it.idp.script.claims = { sid: "idp-session-9" };
  it.time.advance(1_000);
  return await it.signIn();
}

test("logout token: exp may be missing", async (t) => {
  const it = await rig(t);
  assert.equal((await send(it, await tokenOf(it, { exp: undefined }))).outcome, "applied");
});

test("logout token: a sub alone ends the older sessions of the subject, and no newer one", async (t) => {
  const it = await rig(t);
  await signedIn(it, "old", { sid: "idp-session-5" });
  await signedIn(it, "another's", { sid: "idp-session-6", sub: "subject-2" });
  it.time.advance(60_000);
  const token = await tokenOf(it, { sid: undefined });
  it.time.advance(60_000);
  await signedIn(it, "new", { sid: "idp-session-7" });
  await send(it, token);
  assert.deepEqual([...it.logouts.sessions.keys()], ["another's", "new"]);
});

test("logout token: sid and sub that do not belong together end nothing", async (t) => {
  const it = await rig(t);
  await signedIn(it, "mine");
  await send(it, await tokenOf(it, { sub: "subject-2" }));
  assert.deepEqual([...it.logouts.sessions.keys()], ["mine"]);
});

test("logout token: a session of another provider with the same ids lives", async (t) => {
  const it = await rig(t);
  await signedIn(it, "mine");
  const [mine] = it.logouts.sessions.values();
  assert.ok(mine !== undefined);
  it.logouts.sessions.set("other", { ...mine, id: "other", issuer: "https://another.example" });
  await send(it, await tokenOf(it));
  await send(it, await tokenOf(it, { sid: undefined }));
  assert.deepEqual([...it.logouts.sessions.keys()], ["other"]);
});

test("logout token: a replay is 200 and has no effect on a sign-in since", async (t) => {
  const it = await rig(t);
  await signedIn(it, "first");
  const token = await tokenOf(it, { sid: undefined });
  await send(it, token);
  assert.equal(it.logouts.sessions.size, 0);
  it.time.advance(1_000);
  await signedIn(it, "second");
  assert.equal((await send(it, token)).outcome, "replayed");
  assert.deepEqual([...it.logouts.sessions.keys()], ["second"]);
});

test("logout token: one that comes while the callback is under way leaves no session", async (t) => {
  const it = await rig(t);
  it.idp.script.idToken = async (claims) => {
    await send(it, await tokenOf(it));
    return await it.idp.sign(claims);
  };
  await it.refused("ERR_OIDC_SIGNED_OUT");
});

test("logout token: it is remembered as long as it could be sent again", async (t) => {
  const it = await rig(t);
  const { notice } = await send(it, await tokenOf(it));
  const now = it.time.epochMs();
  assert.equal(notice.tokenIdUntilMs, now + 330_000);
  assert.equal(notice.tombstoneUntilMs, now + 600_000);
});

const FORMS: readonly {
  readonly name: string;
  readonly type: string | undefined;
  readonly body: string;
  readonly code: OidcErrorCode;
  readonly status: number;
}[] = [
  {
    name: "JSON",
    type: "application/json",
    body: "{}",
    code: "ERR_OIDC_LOGOUT_MEDIA_TYPE",
    status: 415,
  },
  {
    name: "no type",
    type: undefined,
    body: "logout_token=a",
    code: "ERR_OIDC_LOGOUT_MEDIA_TYPE",
    status: 415,
  },
  {
    name: "1 MB",
    type: FORM,
    body: "a".repeat(1_000_000),
    code: "ERR_OIDC_LOGOUT_TOO_LARGE",
    status: 413,
  },
  {
    name: "16 KiB and a byte",
    type: FORM,
    body: "a".repeat(16_385),
    code: "ERR_OIDC_LOGOUT_TOO_LARGE",
    status: 413,
  },
  {
    name: "16 KiB of something else",
    type: FORM,
    body: "a".repeat(16_384),
    code: INVALID,
    status: 400,
  },
  { name: "nothing", type: FORM, body: "", code: INVALID, status: 400 },
  {
    name: "two tokens",
    type: FORM,
    body: "logout_token=a&logout_token=b",
    code: INVALID,
    status: 400,
  },
];

for (const { name, type, body, code, status } of FORMS) {
  test(`logout request: ${name} is ${status}`, async (t) => {
    const { party, idp } = await rig(t);
    const bytes = new TextEncoder().encode(body);
    const error = await rejected(() => party.backchannelLogout.receive(type, bytes), code);
    assert.equal(error.row.status, status);
    assert.equal(idp.requests.length, 0, "the provider is not asked");
  });
}

test("logout request: a store that fails is 500, so that the provider tries again", async (t) => {
  const it = await rig(t);
  it.logouts.apply = () => Promise.reject(new Error("canary-cause-5b1e"));
  const error = await rejected(async () => send(it, await tokenOf(it)), "ERR_OIDC_INTERNAL");
  assert.ok(!`${error.message}${error.stack}${it.log.lines.join("")}`.includes("canary"));
});

test("oidcc-client-test-rp-init-logout: the URL has client_id, the registered return address, state and the hint", async (t) => {
  const { party, signIn, idp } = await rig(t);
  const { idToken } = await signIn();
  const end = await party.endSession(idToken);
  const url = new URL(end?.url.reveal() ?? "");
  assert.equal(url.origin + url.pathname, `${idp.issuer}/end-session`);
  assert.deepEqual(Object.fromEntries(url.searchParams), {
    client_id: "hawser",
    post_logout_redirect_uri: "https://app.example.org/api/auth/logged-out",
    state: end?.state,
    id_token_hint: idToken.reveal(),
  });
  assert.ok(!JSON.stringify({ end }).includes(idToken.reveal()));
});

test("oidcc-client-test-rp-init-logout-other-state, -no-state: each state is new, and nothing depends on it", async (t) => {
  const { party } = await rig(t);
  const states = [(await party.endSession(null))?.state, (await party.endSession(null))?.state];
  assert.equal(new Set(states).size, 2);
  for (const state of states) assert.match(state ?? "", /^[A-Za-z0-9_-]{43}$/);
});

test("sign-out: the hint may be switched off", async (t) => {
  const { party, signIn } = await rig(t, { oidcIdTokenHint: false });
  const { idToken } = await signIn();
  const url = new URL((await party.endSession(idToken))?.url.reveal() ?? "");
  assert.equal(url.searchParams.has("id_token_hint"), false);
});

test("sign-out: no logout page, or a provider that is down, makes it a local one", async (t) => {
  const without = await rig(t);
  without.idp.script.metadata = { end_session_endpoint: undefined };
  assert.equal(await without.party.endSession(null), null);
  const down = await rig(t);
  await down.idp.stop();
  assert.equal(await down.party.endSession(null), null);
});
