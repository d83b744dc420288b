import assert from "node:assert/strict";
import { KeyVerdicts, VERDICT_MS } from "../../../../src/api/bearer/index.ts";
import {
  createApiKey,
  disableTenant,
  disableUser,
  enableTenant,
  enableUser,
  noteSignIn,
  revokeApiKey,
  type Store,
  setUserRole,
  type TenantId,
} from "../../../../src/api/store/index.ts";
import { formatToken, mintToken } from "../../../../src/core/token.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { ISS, OTHER_TENANT, person, TENANT } from "../../../support/api-store/people.ts";

async function newKey(store: Store, sub = "ann", tenant: TenantId = TENANT, lifeMs = 86_400_000) {
  const owner = await person(store, sub, tenant, { role: "admin" });
  const token = mintToken("key");
  await createApiKey(store, tenant, owner.id, {
    ...token,
    name: "k",
    scopes: ["devices:read", "audit:read"],
    devices: null,
    requestsPerMinute: null,
    expiresAt: store.now() + lifeMs,
  });
  return { token, owner };
}

onEachDatabase(
  "key verdict: it is kept for a second, so that the next use asks nobody",
  async (on) => {
    const store = await on.open();
    const elsewhere = await on.open();
    const { token } = await newKey(store);
    const verdicts = new KeyVerdicts(store);
    const first = await verdicts.find(token.text);
    assert.ok(first !== null);
    await revokeApiKey(elsewhere, TENANT, token.ref);
    on.clock.advance(VERDICT_MS - 1);
    assert.equal(await verdicts.find(token.text), first);
    on.clock.advance(1);
    assert.equal(await verdicts.find(token.text), null);
    assert.ok(VERDICT_MS <= 2_000, "what another process revokes is dead within two seconds");
  },
);

onEachDatabase("key verdict: what this process changes holds from the next use on", async (on) => {
  const store = await on.open();
  const { token, owner } = await newKey(store);
  const verdicts = new KeyVerdicts(store);
  const role = async () => (await verdicts.find(token.text))?.principal.role ?? null;
  assert.equal(await role(), "admin");
  await setUserRole(store, TENANT, owner.id, "member");
  assert.equal(await role(), "member");
  await noteSignIn(store, TENANT, { iss: ISS, sub: "ann", role: "admin", email: null, name: null });
  assert.equal(await role(), "admin");
  await disableUser(store, TENANT, owner.id);
  assert.equal(await role(), null);
  await enableUser(store, TENANT, owner.id);
  assert.equal(await role(), "admin");
  await disableTenant(store, TENANT);
  assert.equal(await role(), null);
  await enableTenant(store, TENANT);
  assert.equal(await role(), "admin");
  await noteSignIn(store, OTHER_TENANT, { iss: ISS, sub: "ann", email: null, name: null });
  assert.equal(await role(), null, "its owner moved away");
  await noteSignIn(store, TENANT, { iss: ISS, sub: "ann", email: null, name: null });
  assert.equal(await role(), "member", "a role stays behind in the tenant that gave it");
  await revokeApiKey(store, TENANT, token.ref);
  assert.equal(await role(), null);
});

onEachDatabase("key verdict: a look-up that a change overtakes is not kept", async (on) => {
  const store = await on.open();
  const { token } = await newKey(store);
  const verdicts = new KeyVerdicts(store);
  const looking = verdicts.find(token.text);
  store.noteCredentialChange();
  assert.notEqual(await looking, null);
  assert.equal(verdicts.size, 0);
});

onEachDatabase(
  "key verdict: a wrong secret is refused beside a right one, and changes nothing",
  async (on) => {
    const store = await on.open();
    const { token } = await newKey(store);
    const verdicts = new KeyVerdicts(store);
    const first = await verdicts.find(token.text);
    const wrong = formatToken("key", token.ref.slice(4), Buffer.alloc(32, 7));
    assert.equal(await verdicts.find(wrong.text), null);
    assert.equal(await verdicts.find(token.text), first);
  },
);

onEachDatabase("key verdict: a key that expires within the second is dead on time", async (on) => {
  const store = await on.open();
  const { token } = await newKey(store, "ann", TENANT, VERDICT_MS / 2);
  const verdicts = new KeyVerdicts(store);
  assert.notEqual(await verdicts.find(token.text), null);
  on.clock.advance(VERDICT_MS / 2);
  assert.equal(await verdicts.find(token.text), null);
});

onEachDatabase("key verdict: as many are kept as may be, and none of a refusal", async (on) => {
  const store = await on.open();
  const keys = [await newKey(store, "a"), await newKey(store, "b"), await newKey(store, "c")];
  const verdicts = new KeyVerdicts(store, 2);
  for (const { token } of keys) await verdicts.find(token.text);
  assert.equal(verdicts.size, 2);
  await verdicts.find(mintToken("key").text);
  assert.equal(verdicts.size, 2);
});
