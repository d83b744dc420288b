/** People of one tenant, by the provider's claims: members, and those who administer it. */
import assert from "node:assert/strict";
import test from "node:test";
import { makeHoldings, pathOf } from "../../support/product/holdings.ts";
import { type Person, startProduct } from "../../support/product/product.ts";
import { ask } from "../../support/relay/start-relay.ts";

const CLAIMS = { oidcTenantClaim: "org", oidcRoleClaim: "groups" } as const;

interface Said {
  org?: unknown;
  groups?: unknown;
}

/** A product whose provider says of people what the test writes here. */
async function startWithClaims(t: test.TestContext, said: Record<string, Said>) {
  const product = await startProduct(t, {
    oidc: CLAIMS,
    idp: { claimsOf: (login) => ({ ...said[login] }) },
  });
  return product;
}

function idOf(record: Record<string, unknown>): string {
  return String((record["user"] as { id?: string }).id);
}

async function statusOf(person: Person, method: string, path: string): Promise<number> {
  return (await person.call(method, path)).status;
}

test("tenant of a claim: two people share devices, and the role claim says who administers", async (t) => {
  const said: Record<string, Said> = {
    boss: { org: "acme", groups: ["staff", "admin"] },
    mia: { org: "acme", groups: ["staff"] },
    eve: { org: "evil", groups: "admin" },
  };
  const product = await startWithClaims(t, said);
  const boss = await product.signIn("boss");
  const mia = await product.signIn("mia");
  const eve = await product.signIn("eve");
  const [bossMe, miaMe] = [
    await boss.json("GET", "/api/auth/me"),
    await mia.json("GET", "/api/auth/me"),
  ];
  assert.equal(bossMe["tenant"], miaMe["tenant"]);
  assert.notEqual((await eve.json("GET", "/api/auth/me"))["tenant"], miaMe["tenant"]);
  const miaId = idOf(miaMe);

  // Both see the device of one of them; the other tenant does not.
  const held = await makeHoldings(boss);
  const agent = await product.connect(held.deviceToken);
  await agent.ready();
  const forward = `/api/devices/${held.deviceId}/http/hello`;
  assert.deepEqual(
    [
      await statusOf(boss, "GET", forward),
      await statusOf(mia, "GET", forward),
      await statusOf(eve, "GET", forward),
    ],
    [200, 200, 404],
  );

  // Every route that wants an administrator refuses the member, and does nothing.
  const wanted = product.app.routes.filter(({ role }) => role === "admin");
  assert.ok(wanted.length >= 8, `${wanted.length} routes want an administrator`);
  for (const route of wanted) {
    const refused = await mia.call(
      route.method,
      pathOf(route, { ...held, userId: idOf(bossMe) }),
      {},
    );
    assert.equal(refused.status, 403, `${route.method} ${route.path}`);
    assert.equal(JSON.parse(refused.body).code, "insufficient_role");
  }
  assert.equal(await statusOf(boss, "GET", "/api/users"), 200);
  const key = await mia.call("POST", "/api/keys", { name: "k", scopes: ["audit:read"] });
  assert.equal(key.status, 403, "scopes of an administrator are not a member's to give");
  assert.equal(JSON.parse(key.body).code, "insufficient_role");
  assert.equal(await statusOf(mia, "GET", "/api/keys?all=true"), 403);

  // An administrator of another tenant administers nothing here.
  assert.equal(await statusOf(eve, "DELETE", `/api/users/${miaId}/sessions`), 404);
  assert.equal(await statusOf(eve, "POST", `/api/users/${miaId}/disable`), 404);
  assert.equal(await statusOf(boss, "DELETE", `/api/users/${miaId}/sessions`), 200);
  assert.equal(await statusOf(mia, "GET", "/api/auth/me"), 401);
});

test("tenant of a claim: who is an administrator no longer is none at once, with all sessions and keys", async (t) => {
  const said: Record<string, Said> = { boss: { org: "acme", groups: ["admin"] } };
  const product = await startWithClaims(t, said);
  const boss = await product.signIn("boss");
  const { key } = await makeHoldings(boss);
  const withKey = async (path: string): Promise<number> =>
    (await ask(product.app.port, path, { headers: { authorization: `Bearer ${key}` } })).status;
  assert.deepEqual([await withKey("/api/audit"), await withKey("/api/devices")], [200, 200]);
  assert.equal(await statusOf(boss, "GET", "/api/users"), 200);

  said["boss"] = { org: "acme", groups: ["staff"] };
  const elsewhere = await product.signIn("boss");
  assert.equal(await statusOf(elsewhere, "GET", "/api/users"), 403);
  assert.equal(await statusOf(boss, "GET", "/api/users"), 403);
  assert.deepEqual([await withKey("/api/audit"), await withKey("/api/devices")], [403, 200]);

  // Somebody who belongs to the tenant no longer takes nothing of it along.
  said["boss"] = { org: "other", groups: ["admin"] };
  const moved = await product.signIn("boss");
  assert.equal(await statusOf(boss, "GET", "/api/auth/me"), 401);
  assert.equal(await withKey("/api/devices"), 401);
  const { devices } = await moved.json("GET", "/api/devices");
  assert.deepEqual(devices, []);

  // And without a tenant there is no way in.
  said["boss"] = { groups: ["admin"] };
  await assert.rejects(product.signIn("boss"), /ends with 403/);
});

test("tenant of a claim: a role that was given by hand stays in the tenant that it was given in", async (t) => {
  const said: Record<string, Said> = { mia: { org: "acme" } };
  const product = await startProduct(t, {
    oidc: { oidcTenantClaim: "org" },
    idp: { claimsOf: (login) => ({ ...said[login] }) },
  });
  const mia = await product.signIn("mia");
  assert.equal(await statusOf(mia, "GET", "/api/users"), 403);
  await product.app.store.query.updateTable("users").set({ role: "admin" }).execute();
  assert.equal(await statusOf(mia, "GET", "/api/users"), 200);
  assert.equal(await statusOf(await product.signIn("mia"), "GET", "/api/users"), 200);
  said["mia"] = { org: "other" };
  assert.equal(await statusOf(await product.signIn("mia"), "GET", "/api/users"), 403);
});
