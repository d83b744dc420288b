import assert from "node:assert/strict";
import {
  addPendingSignIn,
  endLoginSession,
  endLoginSessionByKey,
  endLoginSessionsOfUser,
  findBrowserTrace,
  findLoginSession,
  listLoginSessions,
  removeExpired,
  SESSIONS_PER_USER_MAX,
  type Store,
  setUserRole,
  startLoginSession,
  takePendingSignIn,
} from "../../../../src/api/store/index.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  ABSOLUTE_MS,
  digestOf,
  IDLE_MS,
  MINUTE_MS,
  person,
  session,
  signIn,
  TENANT,
} from "../../../support/api-store/people.ts";

const HOUR_MS = 60 * MINUTE_MS;

function find(store: Store, cookie: string, slide = true) {
  return findLoginSession(store, digestOf(cookie), { idleMs: IDLE_MS, slide });
}

onEachDatabase(
  "login session: is found by the digest of its id, with the user's role of now",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const started = await session(store, ann, "cookie", { idpSid: "s1" });
    assert.deepEqual(await find(store, "cookie"), { ...started, role: "member" });
    assert.deepEqual(started.amr, ["pwd", "otp"]);
    await setUserRole(store, TENANT, ann.id, "admin");
    assert.equal((await find(store, "cookie"))?.role, "admin");
    assert.equal(await find(store, "other"), null);
    assert.notEqual(started.publicId, started.key);
  },
);

onEachDatabase("login session: ends 30 minutes after its last use", async (on) => {
  const store = await on.open();
  await session(store, await person(store, "ann"), "cookie");
  on.clock.advance(IDLE_MS - 1_000);
  assert.ok((await find(store, "cookie")) !== null);
  on.clock.advance(IDLE_MS - 1);
  assert.ok((await find(store, "cookie")) !== null);
  on.clock.advance(IDLE_MS);
  assert.equal(await find(store, "cookie"), null);
});

onEachDatabase("login session: a look that is no activity does not keep it alive", async (on) => {
  const store = await on.open();
  await session(store, await person(store, "ann"), "cookie");
  for (let minute = 1; minute < 30; minute++) {
    on.clock.advance(MINUTE_MS);
    assert.ok((await find(store, "cookie", false)) !== null, `minute ${minute}`);
  }
  on.clock.advance(MINUTE_MS);
  assert.equal(await find(store, "cookie", false), null);
});

onEachDatabase("login session: ends 12 hours after its beginning, however busy", async (on) => {
  const store = await on.open();
  await session(store, await person(store, "ann"), "cookie");
  for (let past = 20 * MINUTE_MS; past < ABSOLUTE_MS; past += 20 * MINUTE_MS) {
    on.clock.advance(20 * MINUTE_MS);
    assert.ok((await find(store, "cookie")) !== null);
  }
  on.clock.advance(20 * MINUTE_MS - 1);
  assert.ok((await find(store, "cookie")) !== null);
  on.clock.advance(1);
  assert.equal(await find(store, "cookie"), null);
});

onEachDatabase("login session: its last use is written once a minute", async (on) => {
  const store = await on.open();
  const { lastSeenAt } = await session(store, await person(store, "ann"), "cookie");
  on.clock.advance(MINUTE_MS - 1);
  await find(store, "cookie");
  assert.equal((await find(store, "cookie"))?.lastSeenAt, lastSeenAt);
  on.clock.advance(1);
  await find(store, "cookie");
  assert.equal((await find(store, "cookie"))?.lastSeenAt, lastSeenAt + MINUTE_MS);
});

onEachDatabase(
  "login session: a sign-in ends the browser's former session, of whomever it was",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const bob = await person(store, "bob");
    const former = await session(store, ann, "old");
    await addPendingSignIn(store, { browserKey: digestOf("old"), stateDigest: "a", sealed: "x" });
    const started = await startLoginSession(store, TENANT, signIn(store, bob, "new"), {
      replacesKey: digestOf("old"),
    });
    const { key, publicId, tenant, userId, sealedTokens } = former;
    assert.ok(started !== "overtaken");
    assert.deepEqual(started?.ended, [{ key, publicId, tenant, userId, sealedTokens }]);
    assert.equal(await find(store, "old"), null);
    assert.equal((await find(store, "new"))?.userId, bob.id);
    assert.equal(await takePendingSignIn(store, digestOf("old"), "a"), null);
  },
);

onEachDatabase("login session: the eleventh of a user ends the oldest", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  for (let count = 0; count < SESSIONS_PER_USER_MAX; count++) {
    await session(store, ann, `cookie-${count}`);
    on.clock.advance(1_000);
  }
  assert.ok((await find(store, "cookie-0")) !== null);
  const started = await startLoginSession(store, TENANT, signIn(store, ann, "last"), {
    replacesKey: null,
  });
  assert.ok(started !== "overtaken");
  assert.deepEqual(
    started?.ended.map(({ key }) => key),
    [digestOf("cookie-0")],
  );
  assert.equal(await find(store, "cookie-0"), null);
  assert.ok((await find(store, "cookie-1")) !== null);
  assert.ok((await find(store, "last")) !== null);
});

onEachDatabase("login session: 30 sign-ins at once leave as many as are allowed", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  await Promise.all(Array.from({ length: 30 }, (_, index) => session(store, ann, `c${index}`)));
  const left = await listLoginSessions(store, TENANT, ann.id, { idleMs: IDLE_MS });
  assert.equal(left.length, SESSIONS_PER_USER_MAX);
});

onEachDatabase("login session: is listed and ended by its public id", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const bob = await person(store, "bob");
  const first = await session(store, ann, "first");
  on.clock.advance(1_000);
  const second = await session(store, ann, "second");
  const bobs = await session(store, bob, "bobs");
  const list = async () =>
    (await listLoginSessions(store, TENANT, ann.id, { idleMs: IDLE_MS })).map(
      ({ publicId }) => publicId,
    );
  assert.deepEqual(await list(), [second.publicId, first.publicId]);
  assert.equal(await endLoginSession(store, TENANT, ann.id, bobs.publicId), null);
  assert.equal(await endLoginSession(store, TENANT, ann.id, "none"), null);
  const ended = await endLoginSession(store, TENANT, ann.id, first.publicId);
  assert.equal(ended?.key, first.key);
  assert.deepEqual(await list(), [second.publicId]);
  assert.ok((await find(store, "bobs")) !== null);
  on.clock.advance(IDLE_MS);
  assert.deepEqual(await list(), []);
});

onEachDatabase(
  "login session: all others of a user end, or all, or the one that signs out",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    for (const cookie of ["a", "b", "c"]) await session(store, ann, cookie);
    await session(store, await person(store, "bob"), "bobs");
    const ended = await endLoginSessionsOfUser(store, TENANT, ann.id, digestOf("b"));
    assert.deepEqual(ended.map(({ key }) => key).sort(), [digestOf("a"), digestOf("c")].sort());
    assert.ok((await find(store, "b")) !== null);
    assert.equal((await endLoginSessionsOfUser(store, TENANT, ann.id, null)).length, 1);
    assert.equal((await endLoginSessionByKey(store, digestOf("bobs")))?.key, digestOf("bobs"));
    assert.equal(await endLoginSessionByKey(store, digestOf("bobs")), null);
  },
);

onEachDatabase(
  "login session: housekeeping removes what has run out and nothing else",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    await session(store, ann, "idle");
    await session(store, ann, "short", { absoluteExpiresAt: store.now() + HOUR_MS / 2 + 1 });
    on.clock.advance(1);
    await session(store, ann, "live");
    on.clock.advance(IDLE_MS - 1);
    await find(store, "short");
    const ended = await removeExpired(store, { idleMs: IDLE_MS });
    assert.deepEqual(
      ended.map(({ key }) => key).sort(),
      [digestOf("idle"), digestOf("short")].sort(),
    );
    const rows = await store.query.selectFrom("loginSessions").select("key").execute();
    assert.deepEqual(
      rows.map(({ key }) => key),
      [digestOf("live")],
    );
  },
);

/** Begins sign-ins of the browser `old` and takes them, as callbacks do; gives what completes them. */
async function takeSignIns(store: Store, ...states: string[]) {
  const browserKey = digestOf("old");
  const ann = await person(store, "ann");
  for (const stateDigest of states) {
    await addPendingSignIn(store, { browserKey, stateDigest, sealed: "x" });
  }
  for (const state of states) {
    assert.equal((await takePendingSignIn(store, browserKey, state))?.stateDigest, state);
  }
  assert.equal(await findBrowserTrace(store, browserKey), null);
  return (by: Store, takenState: string, cookie = takenState) =>
    startLoginSession(by, TENANT, signIn(by, ann, cookie), { replacesKey: browserKey, takenState });
}

onEachDatabase(
  "login session: does not begin where the browser was signed out since its state was taken",
  async (on) => {
    const store = await on.open();
    const complete = await takeSignIns(store, "a");
    assert.equal(await endLoginSessionByKey(store, digestOf("old")), null);
    assert.equal(await complete(store, "a"), "overtaken");
    assert.equal(await find(store, "a"), null);
  },
);

onEachDatabase(
  "login session: of several callbacks of one browser at once, at two stores, one begins one",
  async (on) => {
    const stores = [await on.open(), await on.open()] as const;
    const states = Array.from({ length: 8 }, (_, index) => `state-${index}`);
    const complete = await takeSignIns(stores[0], ...states);
    const results = await Promise.all(
      states.map((state, index) => complete(index % 2 === 0 ? stores[0] : stores[1], state)),
    );
    assert.equal(results.filter((result) => result === "overtaken").length, 7);
    const sessions = await stores[0].query.selectFrom("loginSessions").select("key").execute();
    assert.equal(sessions.length, 1);
    assert.equal(await findBrowserTrace(stores[1], digestOf("old")), "replaced");
    on.clock.advance(2 * MINUTE_MS);
    assert.equal(await findBrowserTrace(stores[1], digestOf("old")), null);
  },
);
