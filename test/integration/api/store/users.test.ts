import assert from "node:assert/strict";
import test from "node:test";
import {
  authorizeDeviceTokens,
  createApiKey,
  disableTenant,
  disableUser,
  enableTenant,
  enableUser,
  findApiKey,
  findLoginSession,
  findMachineClient,
  findUserBySubject,
  getUser,
  listPairingCodes,
  listUsers,
  noteSignIn,
  registerMachineClient,
  type Store,
  setUserRole,
  startLoginSession,
  tenantId,
  type User,
} from "../../../../src/api/store/index.ts";
import { mintToken } from "../../../../src/core/token.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  activeDevice,
  digestOf,
  IDLE_MS,
  ISS,
  OTHER_TENANT,
  pairingCode,
  person,
  session,
  signIn,
  TENANT,
} from "../../../support/api-store/people.ts";

for (const text of ["", "a\nb", "a\0", "x".repeat(513)]) {
  test(`tenant: ${JSON.stringify(text.slice(0, 8))} of ${text.length} characters is none`, () => {
    assert.throws(() => tenantId(text), { code: "ERR_STORE_TENANT_INVALID" });
  });
}

test("tenant: 512 characters of any script are one", () => {
  for (const text of ["x".repeat(512), "Müller & Söhne", '["https://idp","sub"]']) {
    assert.equal(tenantId(text), text);
  }
});

onEachDatabase("user: is who (iss, sub) says, whatever the e-mail", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann", TENANT, { email: "same@example.org" });
  const bob = await person(store, "bob", TENANT, { email: "same@example.org" });
  assert.notEqual(ann.id, bob.id);
  on.clock.advance(1_000);
  const again = await person(store, "ann", TENANT, { email: "new@example.org" });
  assert.equal(again.id, ann.id);
  assert.equal(again.email, "new@example.org");
  assert.equal(again.createdAt, ann.createdAt);
  assert.equal(again.lastSignInAt, ann.lastSignInAt + 1_000);
  assert.deepEqual(await findUserBySubject(store, ISS, "ann"), again);
  assert.equal(await findUserBySubject(store, "https://other.example.org", "ann"), null);
});

onEachDatabase("user: ten first sign-ins at once make one user", async (on) => {
  const stores = [await on.open(), await on.open()];
  const signIns = Array.from({ length: 10 }, (_, index) => stores[index % 2]).map((store) => {
    assert.ok(store !== undefined);
    return person(store, "ann");
  });
  assert.equal(new Set((await Promise.all(signIns)).map(({ id }) => id)).size, 1);
});

onEachDatabase("user: a role stays until something says otherwise", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  assert.equal(ann.role, "member");
  assert.equal((await setUserRole(store, TENANT, ann.id, "admin"))?.role, "admin");
  assert.equal((await person(store, "ann")).role, "admin");
  assert.equal((await person(store, "ann", TENANT, { role: "member" })).role, "member");
});

onEachDatabase("user: are listed page by page", async (on) => {
  const store = await on.open();
  const ids: string[] = [];
  for (const sub of ["a", "b", "c"]) ids.push((await person(store, sub)).id);
  await person(store, "d", OTHER_TENANT);
  const first = await listUsers(store, TENANT, { limit: 2 });
  const last = await listUsers(store, TENANT, { limit: 2, after: first.at(-1)?.id ?? "" });
  assert.deepEqual(
    [...first, ...last].map(({ id }) => id),
    ids.sort(),
  );
});

/** Everything that lets a user in or acts for one. */
async function belongings(store: Store, user: User) {
  const cookie = `cookie of ${user.sub}`;
  await session(store, user, cookie);
  const device = await activeDevice(store, user);
  const key = mintToken("key");
  await createApiKey(store, user.tenant, user.id, {
    ...key,
    name: "key",
    scopes: ["devices:read"],
    devices: null,
    requestsPerMinute: null,
    expiresAt: store.now() + 1_000_000,
  });
  const code = await pairingCode(store, user);
  return { user, cookie, device, key, code };
}

async function whatWorks(store: Store, of: Awaited<ReturnType<typeof belongings>>) {
  const { user, cookie, device, key } = of;
  const options = { idleMs: IDLE_MS, slide: false };
  const [authorized] = await authorizeDeviceTokens(store, [device.token]);
  const codes = await listPairingCodes(store, user.tenant, { limit: 10, creatorId: user.id });
  const fresh = await noteSignIn(store, user.tenant, {
    iss: user.iss,
    sub: user.sub,
    email: null,
    name: null,
  });
  const started = await startLoginSession(store, user.tenant, signIn(store, user, "fresh"), {
    replacesKey: digestOf("fresh"),
  });
  return {
    session: (await findLoginSession(store, digestOf(cookie), options)) !== null,
    tunnel: authorized !== null,
    key: (await findApiKey(store, key)) !== null,
    codes: codes.filter(({ state }) => state === "unused").length,
    signIn: fresh !== null && started !== null,
  };
}

const ALL = { session: true, tunnel: true, key: true, codes: 1, signIn: true };
const NOTHING = { session: false, tunnel: false, key: false, codes: 0, signIn: false };

onEachDatabase(
  "user: one that is disabled can do nothing, and the caller learns what to close",
  async (on) => {
    const store = await on.open();
    const anns = await belongings(store, await person(store, "ann"));
    const bobs = await belongings(store, await person(store, "bob"));
    const disabled = await disableUser(store, TENANT, anns.user.id);
    assert.deepEqual(
      disabled?.endedSessions.map(({ key }) => key),
      [digestOf(anns.cookie)],
    );
    assert.deepEqual(disabled?.tokenRefs, [anns.device.token.ref]);
    assert.deepEqual(disabled?.keyRefs, [anns.key.ref]);
    assert.deepEqual(await whatWorks(store, anns), NOTHING);
    assert.deepEqual(await whatWorks(store, bobs), ALL);
    assert.equal(await enableUser(store, TENANT, anns.user.id), true);
    // What was ended stays ended; keys and tokens were only suspended.
    assert.deepEqual(await whatWorks(store, anns), { ...ALL, session: false, codes: 0 });
  },
);

onEachDatabase(
  "tenant: one that is disabled takes all its users and clients along, and no others",
  async (on) => {
    const store = await on.open();
    const anns = await belongings(store, await person(store, "ann"));
    const eves = await belongings(store, await person(store, "eve", OTHER_TENANT));
    const client = { iss: ISS, clientId: "ci", name: "CI", scopes: ["devices:read"] };
    await registerMachineClient(store, TENANT, client);
    const disabled = await disableTenant(store, TENANT);
    assert.deepEqual(disabled.tokenRefs, [anns.device.token.ref]);
    assert.deepEqual(await whatWorks(store, anns), NOTHING);
    assert.deepEqual(await whatWorks(store, eves), ALL);
    assert.equal(await findMachineClient(store, ISS, "ci"), null);
    assert.equal(await enableTenant(store, TENANT), true);
    assert.deepEqual(await whatWorks(store, anns), { ...ALL, session: false, codes: 0 });
    assert.ok((await findMachineClient(store, ISS, "ci")) !== null);
  },
);

onEachDatabase(
  "tenant: one that nobody has signed in to can be disabled beforehand",
  async (on) => {
    const store = await on.open();
    await disableTenant(store, TENANT);
    const bob = { iss: ISS, sub: "bob", email: null, name: null };
    assert.equal(await noteSignIn(store, TENANT, bob), null);
    assert.ok((await noteSignIn(store, OTHER_TENANT, bob)) !== null);
  },
);

onEachDatabase(
  "user: one that moves to another tenant loses the session and the keys of the old one",
  async (on) => {
    const store = await on.open();
    const anns = await belongings(store, await person(store, "ann"));
    await person(store, "ann", OTHER_TENANT);
    assert.equal(await getUser(store, TENANT, anns.user.id), null);
    assert.equal(await findApiKey(store, anns.key), null);
    const options = { idleMs: IDLE_MS, slide: false };
    assert.equal(await findLoginSession(store, digestOf(anns.cookie), options), null);
  },
);
