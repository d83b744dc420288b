import assert from "node:assert/strict";
import {
  appendAuditEvent,
  cancelPairingCode,
  changeDevice,
  createApiKey,
  createDevice,
  createEnrolmentKey,
  createPairingCode,
  deleteDevice,
  disableMachineClient,
  disableTenant,
  disableUser,
  enableTenant,
  enableUser,
  endLoginSession,
  endLoginSessionsOfUser,
  findMachineClient,
  getApiKey,
  getDevice,
  getUser,
  listDevices,
  listDeviceTokens,
  listEnrolmentKeys,
  listLoginSessions,
  listMachineClients,
  listPairingCodes,
  listUsers,
  noteSignIn,
  queryApiKeys,
  queryAuditEvents,
  registerMachineClient,
  replaceDeviceTokens,
  revokeApiKey,
  revokeDeviceTokens,
  revokeEnrolmentKey,
  rotateDeviceToken,
  type Store,
  setUserRole,
  startLoginSession,
  type TenantId,
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

/** The ids of one of everything. */
interface Ids {
  readonly user: string;
  readonly device: string;
  readonly token: string;
  readonly session: string;
  readonly code: string;
  readonly key: string;
  readonly enrolmentKey: string;
  readonly client: string;
}

const MISSING: Ids = {
  user: "none",
  device: "none",
  token: "vAc_00000000",
  session: "none",
  code: "none",
  key: "hwk_00000000",
  enrolmentKey: "hwe_00000000",
  client: "none",
};

function keyOf(kind: "key" | "enrolment") {
  const more = { name: "k", scopes: ["devices:read"], devices: null, requestsPerMinute: null };
  return { ...mintToken(kind), ...more, tags: [], usesMax: 3, expiresAt: 2_000_000_000_000 };
}

async function oneOfEverything(store: Store): Promise<Ids> {
  const ann = await person(store, "ann");
  const device = await activeDevice(store, ann);
  const started = await session(store, ann, "anns");
  const code = await pairingCode(store, ann);
  const key = keyOf("key");
  await createApiKey(store, TENANT, ann.id, key);
  const enrolmentKey = keyOf("enrolment");
  await createEnrolmentKey(store, TENANT, ann.id, enrolmentKey);
  await registerMachineClient(store, TENANT, { iss: ISS, clientId: "ci", name: "CI", scopes: [] });
  await appendAuditEvent(store, TENANT, { event: "e" });
  return {
    user: ann.id,
    device: device.id,
    token: device.token.ref,
    session: started.publicId,
    code: code.id,
    key: key.ref,
    enrolmentKey: enrolmentKey.ref,
    client: "ci",
  };
}

/** Every function that takes an id, by name. */
const WITH_ID: Readonly<Record<string, (store: Store, tenant: TenantId, ids: Ids) => unknown>> = {
  getUser: (store, tenant, { user }) => getUser(store, tenant, user),
  setUserRole: (store, tenant, { user }) => setUserRole(store, tenant, user, "admin"),
  enableUser: (store, tenant, { user }) => enableUser(store, tenant, user),
  disableUser: (store, tenant, { user }) => disableUser(store, tenant, user),
  listLoginSessions: (store, tenant, { user }) =>
    listLoginSessions(store, tenant, user, { idleMs: IDLE_MS }),
  endLoginSession: (store, tenant, ids) => endLoginSession(store, tenant, ids.user, ids.session),
  endLoginSessionsOfUser: (store, tenant, { user }) =>
    endLoginSessionsOfUser(store, tenant, user, null),
  getDevice: (store, tenant, { device }) => getDevice(store, tenant, device),
  changeDevice: (store, tenant, { device }) => changeDevice(store, tenant, device, { name: "x" }),
  changeNothing: (store, tenant, { device }) => changeDevice(store, tenant, device, {}),
  listDeviceTokens: (store, tenant, { device }) => listDeviceTokens(store, tenant, device),
  rotateDeviceToken: (store, tenant, { device }) =>
    rotateDeviceToken(store, tenant, device, mintToken("device"), { expiresAt: null }),
  replaceDeviceTokens: (store, tenant, { device }) =>
    replaceDeviceTokens(store, tenant, device, mintToken("device"), { expiresAt: null }),
  revokeDeviceToken: (store, tenant, ids) =>
    revokeDeviceTokens(store, tenant, ids.device, ids.token),
  revokeDeviceTokens: (store, tenant, { device }) => revokeDeviceTokens(store, tenant, device),
  deleteDevice: (store, tenant, { device }) => deleteDevice(store, tenant, device),
  listOwnersDevices: (store, tenant, { user }) =>
    listDevices(store, tenant, { limit: 10, ownerId: user }),
  listCreatorsCodes: (store, tenant, { user }) =>
    listPairingCodes(store, tenant, { limit: 10, creatorId: user }),
  cancelPairingCode: (store, tenant, { code }) => cancelPairingCode(store, tenant, code),
  getApiKey: (store, tenant, { key }) => getApiKey(store, tenant, key),
  revokeApiKey: (store, tenant, { key }) => revokeApiKey(store, tenant, key),
  listOwnersKeys: (store, tenant, { user }) =>
    queryApiKeys(store, tenant, { limit: 10, ownerId: user }),
  revokeEnrolmentKey: (store, tenant, { enrolmentKey }) =>
    revokeEnrolmentKey(store, tenant, enrolmentKey),
  disableMachineClient: (store, tenant, { client }) =>
    disableMachineClient(store, tenant, ISS, client),
  auditOfObject: (store, tenant, { device }) =>
    queryAuditEvents(store, tenant, { limit: 10, objectId: device }),
};

/** Every listing of a tenant. */
const LISTINGS: Readonly<Record<string, (store: Store, tenant: TenantId) => Promise<unknown>>> = {
  listUsers: (store, tenant) => listUsers(store, tenant, { limit: 10 }),
  listDevices: (store, tenant) => listDevices(store, tenant, { limit: 10 }),
  listPairingCodes: (store, tenant) => listPairingCodes(store, tenant, { limit: 10 }),
  queryApiKeys: async (store, tenant) => (await queryApiKeys(store, tenant, { limit: 10 })).keys,
  listEnrolmentKeys: (store, tenant) => listEnrolmentKeys(store, tenant, { limit: 10 }),
  listMachineClients: (store, tenant) => listMachineClients(store, tenant),
  queryAuditEvents: async (store, tenant) =>
    (await queryAuditEvents(store, tenant, { limit: 10 })).events,
};

/** All rows of all tables, as one text. */
async function dump(store: Store): Promise<string> {
  const tables = [
    "tenants",
    "users",
    "loginSessions",
    "devices",
    "deviceTokens",
    "pairingCodes",
    "enrolmentKeys",
    "apiKeys",
    "machineClients",
  ] as const;
  const rows = await Promise.all(
    tables.map((table) => store.query.selectFrom(table).selectAll().orderBy("createdAt").execute()),
  );
  return JSON.stringify(rows, null, 1);
}

onEachDatabase(
  "tenants: a foreign id answers as a missing one does, and changes nothing",
  async (on) => {
    const store = await on.open();
    const ids = await oneOfEverything(store);
    await person(store, "eve", OTHER_TENANT);
    const before = await dump(store);
    for (const [name, call] of Object.entries(WITH_ID)) {
      const foreign = await call(store, OTHER_TENANT, ids);
      assert.deepEqual(foreign, await call(store, OTHER_TENANT, MISSING), name);
      assert.equal(await dump(store), before, name);
    }
  },
);

onEachDatabase("tenants: with its own tenant each id is found", async (on) => {
  const store = await on.open();
  for (const [name, call] of Object.entries(WITH_ID)) {
    if (name === "auditOfObject") continue;
    const ids = await oneOfEverything(store).catch(() => null);
    if (ids === null) break;
    const own = await call(store, TENANT, ids);
    assert.notDeepEqual(own, await call(store, TENANT, MISSING), name);
    await enableUser(store, TENANT, ids.user);
    for (const code of await listPairingCodes(store, TENANT, { limit: 10 })) {
      await cancelPairingCode(store, TENANT, code.id);
    }
    for (const key of (await queryApiKeys(store, TENANT, { limit: 50 })).keys) {
      await revokeApiKey(store, TENANT, key.ref);
    }
    await endLoginSessionsOfUser(store, TENANT, ids.user, null);
  }
});

onEachDatabase("tenants: a listing has the tenant's own and nobody else's", async (on) => {
  const store = await on.open();
  await oneOfEverything(store);
  for (const [name, list] of Object.entries(LISTINGS)) {
    assert.deepEqual(await list(store, OTHER_TENANT), [], name);
    const own = await list(store, TENANT);
    assert.ok(Array.isArray(own) && own.length > 0, name);
  }
});

onEachDatabase(
  "tenants: an empty one throws everywhere, should a cast have made it",
  async (on) => {
    const store = await on.open();
    const ids = await oneOfEverything(store);
    const none = "" as TenantId;
    const ann = await getUser(store, TENANT, ids.user);
    assert.ok(ann !== null);
    const device = { name: "d", tags: [], model: null, serial: null };
    const calls: Readonly<Record<string, () => unknown>> = {
      ...Object.fromEntries(
        Object.entries(WITH_ID).map(([name, call]) => [name, () => call(store, none, ids)]),
      ),
      ...Object.fromEntries(
        Object.entries(LISTINGS).map(([name, list]) => [name, () => list(store, none)]),
      ),
      noteSignIn: () => noteSignIn(store, none, { iss: ISS, sub: "x", email: null, name: null }),
      startLoginSession: () =>
        startLoginSession(store, none, signIn(store, ann, "x"), { replacesKey: null }),
      createDevice: () => createDevice(store, none, ann.id, device),
      createPairingCode: () =>
        createPairingCode(store, none, ann.id, { digest: digestOf("x"), prefix: "hwp_0" }),
      createApiKey: () => createApiKey(store, none, ann.id, keyOf("key")),
      createEnrolmentKey: () => createEnrolmentKey(store, none, ann.id, keyOf("enrolment")),
      registerMachineClient: () =>
        registerMachineClient(store, none, { iss: ISS, clientId: "x", name: "x", scopes: [] }),
      appendAuditEvent: () => appendAuditEvent(store, none, { event: "e" }),
      disableTenant: () => disableTenant(store, none),
      enableTenant: () => enableTenant(store, none),
    };
    const before = await dump(store);
    for (const [name, call] of Object.entries(calls)) {
      await assert.rejects(async () => call(), { code: "ERR_STORE_TENANT_INVALID" }, name);
    }
    assert.equal(await dump(store), before);
  },
);

onEachDatabase("tenants: a machine client belongs to who registered it first", async (on) => {
  const store = await on.open();
  const client = { iss: ISS, clientId: "ci", name: "CI", scopes: ["devices:read"] };
  const made = await registerMachineClient(store, TENANT, client);
  assert.deepEqual(await findMachineClient(store, ISS, "ci"), made);
  assert.equal(await registerMachineClient(store, OTHER_TENANT, { ...client, scopes: [] }), null);
  assert.deepEqual(await findMachineClient(store, ISS, "ci"), made);
  assert.equal(await findMachineClient(store, "https://other.example.org", "ci"), null);
  const wider = { ...client, scopes: ["devices:read", "devices:write"] };
  assert.deepEqual((await registerMachineClient(store, TENANT, wider))?.scopes, wider.scopes);
  assert.ok((await disableMachineClient(store, TENANT, ISS, "ci")) !== null);
  assert.equal(await findMachineClient(store, ISS, "ci"), null);
  assert.equal(await disableMachineClient(store, TENANT, ISS, "ci"), null);
  assert.ok((await registerMachineClient(store, TENANT, client)) !== null);
  assert.ok((await findMachineClient(store, ISS, "ci")) !== null);
});

onEachDatabase(
  "tenants: no table has a token's secret, and none of its texts is a token",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const device = await activeDevice(store, ann);
    const rotated = mintToken("device");
    await rotateDeviceToken(store, TENANT, device.id, rotated, { expiresAt: null });
    const key = keyOf("key");
    await createApiKey(store, TENANT, ann.id, key);
    const enrolmentKey = keyOf("enrolment");
    await createEnrolmentKey(store, TENANT, ann.id, enrolmentKey);
    const { events } = await queryAuditEvents(store, TENANT, { limit: 100 });
    const all = (await dump(store)) + JSON.stringify(events);
    for (const { text } of [device.token, rotated, key, enrolmentKey]) {
      assert.ok(!all.includes(text.slice(13, 30)), "a secret is stored");
    }
  },
);
