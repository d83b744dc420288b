import assert from "node:assert/strict";
import {
  addLogoutTicket,
  endLoginSessionsByProvider,
  findLoginSession,
  isSignInEnded,
  LOGOUT_TICKET_MS,
  type LogoutToken,
  removeExpired,
  type Store,
  startLoginSession,
  TOMBSTONE_MS,
  takeLogoutTicket,
} from "../../../../src/api/store/index.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  digestOf,
  IDLE_MS,
  ISS,
  MINUTE_MS,
  person,
  session,
  signIn,
  TENANT,
} from "../../../support/api-store/people.ts";

function logout(store: Store, more: Partial<LogoutToken>) {
  return endLoginSessionsByProvider(store, {
    iss: ISS,
    sub: null,
    sid: null,
    jti: "j1",
    iat: store.now(),
    rememberUntil: store.now() + 5 * MINUTE_MS,
    ...more,
  });
}

async function live(store: Store, ...cookies: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const cookie of cookies) {
    const options = { idleMs: IDLE_MS, slide: false };
    if ((await findLoginSession(store, digestOf(cookie), options)) !== null) found.push(cookie);
  }
  return found;
}

onEachDatabase("provider's logout: a sid ends its session alone", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  await session(store, ann, "one", { idpSid: "s1" });
  await session(store, ann, "two", { idpSid: "s2" });
  await session(store, await person(store, "bob"), "bobs", { idpSid: "s3" });
  await session(store, ann, "elsewhere", { idpSid: "s1", iss: "https://other.example.org" });
  const { replayed, ended } = await logout(store, { sid: "s1", sub: "ann" });
  assert.equal(replayed, false);
  assert.deepEqual(
    ended.map(({ key }) => key),
    [digestOf("one")],
  );
  assert.deepEqual(await live(store, "one", "two", "bobs", "elsewhere"), [
    "two",
    "bobs",
    "elsewhere",
  ]);
});

onEachDatabase(
  "provider's logout: a sub ends the sessions whose ID token is not newer",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    await session(store, ann, "before");
    on.clock.advance(1_000);
    const iat = store.now();
    await session(store, ann, "same moment");
    on.clock.advance(1_000);
    await session(store, ann, "after");
    await session(store, await person(store, "bob"), "bobs");
    // Times of tokens are whole seconds: within one the notice wins.
    assert.equal((await logout(store, { sub: "ann", iat })).ended.length, 2);
    assert.deepEqual(await live(store, "before", "same moment", "after", "bobs"), [
      "after",
      "bobs",
    ]);
  },
);

onEachDatabase(
  "provider's logout: an unknown sid or sub ends nothing and is no error",
  async (on) => {
    const store = await on.open();
    assert.deepEqual(await logout(store, { sid: "none" }), { replayed: false, ended: [] });
    assert.deepEqual(await logout(store, { sub: "nobody", jti: "j2" }), {
      replayed: false,
      ended: [],
    });
    assert.deepEqual(await logout(store, { jti: "j3" }), { replayed: false, ended: [] });
  },
);

onEachDatabase("provider's logout: a replayed token has no effect", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  await session(store, ann, "one");
  on.clock.advance(1);
  assert.equal((await logout(store, { sub: "ann" })).ended.length, 1);
  on.clock.advance(1);
  await session(store, ann, "two");
  on.clock.advance(5 * MINUTE_MS - 2);
  await removeExpired(store, { idleMs: IDLE_MS });
  assert.deepEqual(await logout(store, { sub: "ann" }), { replayed: true, ended: [] });
  assert.deepEqual(await live(store, "two"), ["two"]);
  // The same jti of another issuer is another token.
  assert.equal((await logout(store, { iss: "https://other.example.org" })).replayed, false);
});

onEachDatabase("provider's logout: ten copies of one token at once count once", async (on) => {
  const stores = [await on.open(), await on.open()];
  const copies = Array.from({ length: 10 }, (_, index) => stores[index % 2]).map((store) => {
    assert.ok(store !== undefined);
    return logout(store, { sid: "s1" });
  });
  const first = (await Promise.all(copies)).filter(({ replayed }) => !replayed);
  assert.equal(first.length, 1);
});

onEachDatabase(
  "provider's logout: one that comes before the sign-in is over leaves no session",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    await logout(store, { sid: "s1" });
    const start = (cookie: string, idpSid: string | null) =>
      startLoginSession(store, TENANT, signIn(store, ann, cookie, { idpSid }), {
        replacesKey: null,
      });
    on.clock.advance(TOMBSTONE_MS - 1);
    assert.equal(await start("dead", "s1"), null);
    assert.ok((await start("other", "s2")) !== null);
    assert.ok((await start("none", null)) !== null);
    on.clock.advance(1);
    assert.ok((await start("later", "s1")) !== null);
  },
);

onEachDatabase(
  "provider's logout: a sid ends no session of another subject than the token names",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    await session(store, ann, "one", { idpSid: "s1" });
    assert.equal((await logout(store, { sid: "s1", sub: "bob" })).ended.length, 0);
    assert.deepEqual(await live(store, "one"), ["one"]);
    const start = (cookie: string) =>
      startLoginSession(store, TENANT, signIn(store, ann, cookie, { idpSid: "s1" }), {
        replacesKey: null,
      });
    assert.ok((await start("two")) !== null);
    await logout(store, { sid: "s1", sub: "ann", jti: "j2" });
    assert.equal(await start("three"), null);
  },
);

onEachDatabase(
  "provider's logout: a sub that comes before the sign-in is over leaves no session of an older ID token",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const issuedAt = store.now();
    on.clock.advance(1_000);
    await logout(store, { sub: "ann" });
    // A notice that comes late and is older does not take the newer one's place.
    await logout(store, { sub: "ann", iat: issuedAt - 1_000, jti: "j2" });
    on.clock.advance(1_000);
    const entry = (cookie: string, more: object) => signIn(store, ann, cookie, more);
    const start = (cookie: string, more: object = {}) =>
      startLoginSession(store, TENANT, entry(cookie, more), { replacesKey: null });
    assert.equal(await start("on its way", { issuedAt }), null);
    assert.equal(await start("with a session", { issuedAt, idpSid: "s1" }), null);
    assert.equal(await isSignInEnded(store, entry("asked", { issuedAt })), true);
    assert.equal(await isSignInEnded(store, entry("asked", {})), false);
    assert.ok((await start("afterwards")) !== null);
    on.clock.advance(TOMBSTONE_MS);
    assert.ok((await start("forgotten", { issuedAt })) !== null);
  },
);

onEachDatabase("a refused sign-in leaves the browser's former session alone", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  await session(store, ann, "former");
  await logout(store, { sid: "s1" });
  const refused = await startLoginSession(
    store,
    TENANT,
    signIn(store, ann, "next", { idpSid: "s1" }),
    { replacesKey: digestOf("former") },
  );
  assert.equal(refused, null);
  assert.deepEqual(await live(store, "former", "next"), ["former"]);
});

onEachDatabase("logout ticket: is good once, within a minute", async (on) => {
  const store = await on.open();
  await addLogoutTicket(store, { digest: "a", sealed: "x" });
  const takes = Array.from({ length: 10 }, () => takeLogoutTicket(store, "a"));
  assert.deepEqual(
    (await Promise.all(takes)).filter((taken) => taken !== null),
    ["x"],
  );
  await addLogoutTicket(store, { digest: "b", sealed: "x" });
  await addLogoutTicket(store, { digest: "c", sealed: "y" });
  on.clock.advance(LOGOUT_TICKET_MS - 1);
  assert.equal(await takeLogoutTicket(store, "c"), "y");
  on.clock.advance(1);
  assert.equal(await takeLogoutTicket(store, "b"), null);
  await addLogoutTicket(store, { digest: "d", sealed: "x" });
  on.clock.advance(LOGOUT_TICKET_MS);
  await removeExpired(store, { idleMs: IDLE_MS });
  const left = await store.query.selectFrom("logoutTickets").selectAll().execute();
  assert.equal(left.length, 0);
});

onEachDatabase("provider's logout: in a race with the sign-in no session survives", async (on) => {
  const stores = [await on.open(), await on.open()];
  const [here, there] = stores;
  assert.ok(here !== undefined && there !== undefined);
  const ann = await person(here, "ann");
  for (let round = 0; round < 20; round++) {
    const idpSid = `s${round}`;
    await Promise.all([
      startLoginSession(here, TENANT, signIn(here, ann, idpSid, { idpSid }), { replacesKey: null }),
      logout(there, { sid: idpSid, jti: idpSid }),
    ]);
    assert.deepEqual(await live(here, idpSid), [], `round ${round}`);
  }
});
