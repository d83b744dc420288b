import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { createApiKey, type TenantId } from "../../../../src/api/store/index.ts";
import { mintToken } from "../../../../src/core/token.ts";
import type { Browser } from "../../../support/api/browser.ts";
import {
  codeOf,
  scriptedWorld,
  type World,
  withoutRequestId,
} from "../../../support/api/scripted-world.ts";
import { activeDevice } from "../../../support/api-store/people.ts";

interface Tenants extends World {
  readonly boss: Browser;
  readonly member: Browser;
  /** Of another tenant. */
  readonly stranger: Browser;
  idOf(browser: Browser): Promise<string>;
}

async function tenants(t: TestContext): Promise<Tenants> {
  const at = await scriptedWorld(t, { oidc: { oidcTenantClaim: "org", oidcRoleClaim: "groups" } });
  const boss = await at.signedIn({ sub: "boss", org: "acme", groups: ["admin"] });
  const member = await at.signedIn({ sub: "member", org: "acme" });
  const stranger = await at.signedIn({ sub: "stranger", org: "other", groups: ["admin"] });
  const idOf = async (browser: Browser): Promise<string> =>
    JSON.parse((await at.get(browser, "/api/auth/me")).body).user.id;
  return { ...at, boss, member, stranger, idOf };
}

async function meStatus(at: World, browser: Browser): Promise<number> {
  return (await at.get(browser, "/api/auth/me")).status;
}

test("users: an administrator sees the people of the own tenant, in pages", async (t) => {
  const at = await tenants(t);
  const all = JSON.parse((await at.get(at.boss, "/api/users")).body);
  assert.deepEqual(all.users.map(({ name }: { name: string }) => name).sort(), [
    "Name of boss",
    "Name of member",
  ]);
  assert.equal(all.next, undefined);
  assert.deepEqual(Object.keys(all.users[0]).sort(), [
    "created_at",
    "disabled",
    "email",
    "id",
    "last_sign_in_at",
    "name",
    "role",
  ]);
  const first = JSON.parse((await at.get(at.boss, "/api/users?limit=1")).body);
  const second = JSON.parse(
    (await at.get(at.boss, `/api/users?limit=1&cursor=${first.next}`)).body,
  );
  assert.deepEqual([...first.users, ...second.users], all.users);
  assert.equal(second.next, undefined);
  assert.equal((await at.get(at.boss, "/api/users?tenant_id=other")).status, 400);
  assert.equal((await at.get(at.boss, "/api/users?limit=0")).status, 400);
});

test("users: none of these routes is for a member", async (t) => {
  const at = await tenants(t);
  const id = await at.idOf(at.boss);
  for (const page of [
    await at.get(at.member, "/api/users"),
    await at.act(at.member, "POST", `/api/users/${id}/disable`),
    await at.act(at.member, "POST", `/api/users/${id}/enable`),
    await at.act(at.member, "DELETE", `/api/users/${id}/sessions`),
  ]) {
    assert.equal(page.status, 403);
    assert.equal(codeOf(page), "insufficient_role");
  }
  assert.equal(await meStatus(at, at.boss), 200);
});

test("users: somebody of another tenant is answered as nobody is, and not touched", async (t) => {
  const at = await tenants(t);
  const id = await at.idOf(at.stranger);
  for (const [method, path] of [
    ["POST", "disable"],
    ["POST", "enable"],
    ["DELETE", "sessions"],
  ] as const) {
    const foreign = await at.act(at.boss, method, `/api/users/${id}/${path}`);
    const missing = await at.act(at.boss, method, `/api/users/${"0".repeat(24)}/${path}`);
    const malformed = await at.act(at.boss, method, `/api/users/x/${path}`);
    for (const page of [foreign, malformed]) {
      assert.equal(page.status, 404);
      assert.equal(withoutRequestId(page), withoutRequestId(missing));
    }
  }
  assert.equal(await meStatus(at, at.stranger), 200);
});

test("users: one who is disabled loses sessions, keys and tunnels at once, until enabled again", async (t) => {
  const at = await tenants(t);
  const id = await at.idOf(at.member);
  const user = await at.it.store.query
    .selectFrom("users")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirstOrThrow();
  const device = await activeDevice(at.it.store, user);
  const key = mintToken("key");
  const expiresAt = at.time.epochMs() + 86_400_000;
  await createApiKey(at.it.store, user.tenant as TenantId, id, {
    ref: key.ref,
    secretDigest: key.secretDigest,
    name: "k",
    scopes: [],
    devices: null,
    requestsPerMinute: null,
    expiresAt,
  });
  const [session] = await at.it.store.query
    .selectFrom("loginSessions")
    .selectAll()
    .where("userId", "=", id)
    .execute();
  const cut = new Set<string>();
  for (const ref of [session?.key.slice(0, 12) ?? "", key.ref]) {
    at.it.context.endings.begin({ ref, cut: () => cut.add(ref) });
  }
  const page = await at.act(at.boss, "POST", `/api/users/${id}/disable`);
  assert.equal(page.status, 204, page.body);
  assert.equal(await meStatus(at, at.member), 401);
  assert.deepEqual(at.it.announced, [{ revoked: [device.token.ref, key.ref] }]);
  assert.equal(cut.size, 2);
  const { users } = JSON.parse((await at.get(at.boss, "/api/users")).body);
  assert.equal(users.find((each: { id: string }) => each.id === id).disabled, true);
  const events = at.it.audit
    .slice(-2)
    .map(({ event, objectId, actor }) => [event, objectId === id, actor]);
  const boss = await at.idOf(at.boss);
  assert.deepEqual(events, [
    ["user_disabled", true, boss],
    ["session_logout", false, boss],
  ]);
  const again = at.it.browser();
  at.idp.script.claims = { sub: "member", org: "acme" };
  at.idp.script.userinfo = { sub: "member" };
  assert.equal((await at.arrive(again, at.callback(await at.start(again)))).status, 403);
  assert.equal((await at.act(at.boss, "POST", `/api/users/${id}/enable`)).status, 204);
  assert.equal((await at.arrive(again, at.callback(await at.start(again)))).status, 303);
  assert.equal(await meStatus(at, again), 200);
});

test("users: administrators cannot disable themselves", async (t) => {
  const at = await tenants(t);
  const page = await at.act(at.boss, "POST", `/api/users/${await at.idOf(at.boss)}/disable`);
  assert.equal(page.status, 409);
  assert.equal(codeOf(page), "own_account");
  assert.equal(await meStatus(at, at.boss), 200);
});

test("users: an administrator ends all sessions of a person, who may sign in again", async (t) => {
  const at = await tenants(t);
  const id = await at.idOf(at.member);
  const second = await at.signedIn({ sub: "member", org: "acme" });
  const page = await at.act(at.boss, "DELETE", `/api/users/${id}/sessions`);
  assert.deepEqual(JSON.parse(page.body), { ended: 2 });
  const statuses = [at.member, second, at.boss].map((browser) => meStatus(at, browser));
  assert.deepEqual(await Promise.all(statuses), [401, 401, 200]);
  const again = await at.signedIn({ sub: "member", org: "acme" });
  assert.equal(await meStatus(at, again), 200);
});

test("users: an unsafe request without the header of our own pages is refused", async (t) => {
  const at = await tenants(t);
  const id = await at.idOf(at.member);
  for (const [method, path] of [
    ["POST", `/api/users/${id}/disable`],
    ["DELETE", `/api/users/${id}/sessions`],
    ["DELETE", "/api/auth/sessions"],
  ] as const) {
    const page = await at.boss.fetch(at.it.url(path), { method, from: at.it.baseUrl });
    assert.equal(page.status, 403);
    assert.equal(codeOf(page), "csrf_failed");
  }
  assert.equal(await meStatus(at, at.member), 200);
});
