import assert from "node:assert/strict";
import { Operator } from "../../../../src/api/index.ts";
import {
  findUserOfAny,
  hasTenant,
  listTenants,
  listUsersOfAll,
  queryAuditEvents,
  tenantId,
} from "../../../../src/api/store/index.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  activeDevice,
  ISS,
  OTHER_TENANT,
  person,
  session,
  TENANT,
} from "../../../support/api-store/people.ts";

onEachDatabase("operator: all tenants and users, page after page", async (on) => {
  const store = await on.open();
  const people = [
    await person(store, "ann"),
    await person(store, "bob"),
    await person(store, "eve", OTHER_TENANT),
  ];
  const tenants = await listTenants(store, { limit: 10 });
  assert.deepEqual(
    tenants.map(({ id, users }) => [id, users]),
    [
      [TENANT, 2],
      [OTHER_TENANT, 1],
    ],
  );
  const [first] = await listTenants(store, { limit: 1 });
  assert.deepEqual(
    (await listTenants(store, { limit: 1, after: first?.id ?? "" })).map(({ id }) => id),
    [OTHER_TENANT],
  );
  const ids = people.map(({ id }) => id).sort();
  assert.deepEqual(
    (await listUsersOfAll(store, { limit: 10 })).map(({ id }) => id),
    ids,
  );
  assert.deepEqual(
    (await listUsersOfAll(store, { limit: 1, after: ids[1] ?? "" })).map(({ id }) => id),
    [ids[2]],
  );
  assert.equal((await findUserOfAny(store, people[2]?.id ?? ""))?.sub, "eve");
  assert.equal(await findUserOfAny(store, "0".repeat(24)), null);
  assert.equal(await hasTenant(store, TENANT), true);
  assert.equal(await hasTenant(store, tenantId("nobody's")), false);
});

onEachDatabase(
  "operator: what is done is in the tenant's audit log, by the operator",
  async (on) => {
    const store = await on.open();
    const operator = new Operator(store);
    const ann = await person(store, "ann");
    await session(store, ann, "cookie");
    const { token } = await activeDevice(store, ann);
    const bySubject = { iss: ISS, sub: "ann" };
    assert.equal((await operator.setRole(bySubject, "admin"))?.user.role, "admin");
    const disabled = await operator.disableUser({ id: ann.id });
    assert.deepEqual([disabled?.refs, disabled?.endedSessions], [[token.ref], 1]);
    assert.notEqual(disabled?.user.disabledAt, null);
    assert.equal((await operator.enableUser(bySubject))?.user.disabledAt, null);
    assert.deepEqual((await operator.disableTenant(TENANT, false))?.refs, [token.ref]);
    assert.equal(await operator.enableTenant(TENANT), true);
    const client = { iss: ISS, clientId: "ci", name: "build", scopes: ["devices:read"] };
    assert.equal((await operator.addMachineClient(TENANT, client))?.clientId, "ci");
    assert.equal(await operator.addMachineClient(OTHER_TENANT, client), null);
    assert.equal((await operator.machineClients(null)).length, 1);
    assert.equal((await operator.disableMachineClient(TENANT, ISS, "ci"))?.clientId, "ci");
    assert.equal(await operator.disableMachineClient(TENANT, ISS, "ci"), null);
    const { events } = await queryAuditEvents(store, TENANT, { limit: 50 });
    assert.deepEqual(
      events
        .filter(({ actor }) => actor === "operator")
        .map(({ event, objectId }) => [event, objectId])
        .reverse(),
      [
        ["user_role_changed", ann.id],
        ["user_disabled", ann.id],
        ["user_enabled", ann.id],
        ["tenant_disabled", null],
        ["tenant_enabled", null],
        ["machine_client_registered", "ci"],
        ["machine_client_disabled", "ci"],
      ],
    );
  },
);

onEachDatabase("operator: who is not there is not made, a tenant on request alone", async (on) => {
  const store = await on.open();
  const operator = new Operator(store);
  const nobody = { iss: ISS, sub: "nobody" };
  assert.equal(await operator.setRole(nobody, "admin"), null);
  assert.equal(await operator.disableUser({ id: "0".repeat(24) }), null);
  assert.equal(await operator.enableUser(nobody), null);
  assert.equal(await operator.enableTenant("t:new"), false);
  assert.equal(await operator.disableTenant("t:new", false), null);
  assert.deepEqual(await operator.tenants(), []);
  assert.deepEqual((await operator.disableTenant("t:new", true))?.refs, []);
  assert.equal((await operator.tenants())[0]?.id, "t:new");
});
