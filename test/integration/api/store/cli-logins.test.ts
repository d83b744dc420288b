import assert from "node:assert/strict";
import {
  addCliLogin,
  approveCliLogin,
  CLI_LOGIN_LIMITS,
  declineCliLogin,
  disableUser,
  type NewCliLogin,
  removeExpired,
  type Store,
  takeCliLogin,
  type User,
} from "../../../../src/api/store/index.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { digestOf, IDLE_MS, OTHER_TENANT, person } from "../../../support/api-store/people.ts";

const SESSION = digestOf("session");

function asked(consent: string): NewCliLogin {
  return {
    consentDigest: digestOf(consent),
    sessionKey: SESSION,
    redirectUri: "http://127.0.0.1:4000/callback",
    codeChallenge: "c".repeat(43),
    oauthState: "s".repeat(22),
    name: "hawser on press",
    scopes: ["devices:read"],
    keyLifetimeMs: 86_400_000,
  };
}

const answer = (consent: string, code: string) => ({
  consentDigest: digestOf(consent),
  sessionKey: SESSION,
  codeDigest: digestOf(code),
});

async function approved(store: Store, user: User, code: string): Promise<void> {
  await addCliLogin(store, user.tenant, user.id, asked(`consent of ${code}`));
  const login = await approveCliLogin(
    store,
    user.tenant,
    user.id,
    answer(`consent of ${code}`, code),
  );
  assert.ok(login !== null);
}

onEachDatabase("cli login: a consent becomes a code once, and a code is taken once", async (on) => {
  const stores = [await on.open(), await on.open()];
  const [store, other] = stores;
  assert.ok(store !== undefined && other !== undefined);
  const ann = await person(store, "ann");
  await addCliLogin(store, ann.tenant, ann.id, asked("consent"));
  const approvals = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      approveCliLogin(
        stores[index % 2] ?? store,
        ann.tenant,
        ann.id,
        answer("consent", `code ${index}`),
      ),
    ),
  );
  const first = approvals.findIndex((login) => login !== null);
  assert.equal(approvals.filter((login) => login !== null).length, 1);
  const taken = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      takeCliLogin(stores[index % 2] ?? store, digestOf(`code ${first}`)),
    ),
  );
  const [login, ...more] = taken.filter((each) => each !== null);
  assert.equal(more.length, 0);
  assert.deepEqual(
    [login?.userId, login?.tenant, login?.name, login?.scopes, login?.keyLifetimeMs],
    [ann.id, ann.tenant, "hawser on press", ["devices:read"], 86_400_000],
  );
  assert.ok(!JSON.stringify(login).includes(digestOf("consent")));
});

onEachDatabase("cli login: another session, user or tenant cannot answer a consent", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const bob = await person(store, "bob");
  await addCliLogin(store, ann.tenant, ann.id, asked("consent"));
  const good = answer("consent", "code");
  const elsewhere = { ...good, sessionKey: digestOf("other session") };
  assert.equal(await approveCliLogin(store, ann.tenant, ann.id, elsewhere), null);
  assert.equal(await declineCliLogin(store, ann.tenant, ann.id, elsewhere), null);
  assert.equal(await approveCliLogin(store, bob.tenant, bob.id, good), null);
  assert.equal(await declineCliLogin(store, bob.tenant, bob.id, good), null);
  assert.equal(await approveCliLogin(store, OTHER_TENANT, ann.id, good), null);
  assert.ok((await declineCliLogin(store, ann.tenant, ann.id, good)) !== null);
  assert.equal(await approveCliLogin(store, ann.tenant, ann.id, good), null);
});

onEachDatabase("cli login: consent and code run out, to the millisecond", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  await addCliLogin(store, ann.tenant, ann.id, asked("late"));
  on.clock.advance(CLI_LOGIN_LIMITS.consentTtlMs);
  assert.equal(await approveCliLogin(store, ann.tenant, ann.id, answer("late", "late code")), null);
  assert.equal(await declineCliLogin(store, ann.tenant, ann.id, answer("late", "x")), null);
  await approved(store, ann, "in time");
  on.clock.advance(CLI_LOGIN_LIMITS.codeTtlMs - 1);
  assert.ok((await takeCliLogin(store, digestOf("in time"))) !== null);
  await approved(store, ann, "too late");
  on.clock.advance(CLI_LOGIN_LIMITS.codeTtlMs);
  assert.equal(await takeCliLogin(store, digestOf("too late")), null);
});

onEachDatabase("cli login: a code of a disabled user is worth nothing", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  await approved(store, ann, "code");
  await disableUser(store, ann.tenant, ann.id);
  assert.equal(await takeCliLogin(store, digestOf("code")), null);
});

onEachDatabase("cli login: a user has eight at once, and one more drops the oldest", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  for (let count = 0; count <= CLI_LOGIN_LIMITS.perUserMax; count++) {
    await addCliLogin(store, ann.tenant, ann.id, asked(`consent ${count}`));
    on.clock.advance(1);
  }
  assert.equal(
    await approveCliLogin(store, ann.tenant, ann.id, answer("consent 0", "code 0")),
    null,
  );
  for (let count = 1; count <= CLI_LOGIN_LIMITS.perUserMax; count++) {
    const login = await approveCliLogin(
      store,
      ann.tenant,
      ann.id,
      answer(`consent ${count}`, `code ${count}`),
    );
    assert.ok(login !== null, String(count));
  }
});

onEachDatabase("cli login: housekeeping removes what has run out", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  await addCliLogin(store, ann.tenant, ann.id, asked("old"));
  on.clock.advance(CLI_LOGIN_LIMITS.consentTtlMs - 1);
  await approved(store, ann, "new");
  on.clock.advance(1);
  await removeExpired(store, { idleMs: IDLE_MS });
  const rows = await store.query.selectFrom("cliLogins").select("codeDigest").execute();
  assert.deepEqual(rows, [{ codeDigest: digestOf("new") }]);
});
