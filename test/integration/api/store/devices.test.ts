import assert from "node:assert/strict";
import {
  ACTIVATION_MS,
  authorizeDeviceTokens,
  changeDevice,
  createDevice,
  deleteDevice,
  findDeviceIds,
  getDevice,
  listDevices,
  queryAuditEvents,
  removeUnconnectedDevices,
} from "../../../../src/api/store/index.ts";
import { isDeviceId } from "../../../../src/core/token.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  activeDevice,
  OTHER_TENANT,
  pairedDevice,
  person,
  TENANT,
} from "../../../support/api-store/people.ts";
import { noteClosed, noteConnected, TUNNEL } from "../../../support/api-store/tunnels.ts";

const NEW = { name: "press", tags: ["hall-1", "north"], model: "m1", serial: null };

onEachDatabase("device: is created, renamed, tagged, deleted", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const device = await createDevice(store, TENANT, ann.id, NEW);
  assert.ok(isDeviceId(device.id));
  assert.equal(device.state, "pending");
  assert.deepEqual(device.tags, NEW.tags);
  assert.deepEqual(await getDevice(store, TENANT, device.id), device);
  const renamed = await changeDevice(store, TENANT, device.id, { name: "lathe" });
  assert.deepEqual(renamed, { ...device, name: "lathe" });
  const tagged = await changeDevice(store, TENANT, device.id, { tags: [] });
  assert.deepEqual(tagged, { ...device, name: "lathe", tags: [] });
  assert.deepEqual(await changeDevice(store, TENANT, device.id, {}), tagged);
  const removed = { id: device.id, tenant: TENANT, name: "lathe", tokenRefs: [] };
  assert.deepEqual(await deleteDevice(store, TENANT, device.id), removed);
  assert.equal(await getDevice(store, TENANT, device.id), null);
  assert.equal(await deleteDevice(store, TENANT, device.id), null);
});

onEachDatabase("device: one that is deleted takes its tokens along", async (on) => {
  const store = await on.open();
  const { id, token } = await activeDevice(store, await person(store, "ann"));
  assert.deepEqual((await deleteDevice(store, TENANT, id))?.tokenRefs, [token.ref]);
  assert.deepEqual(await authorizeDeviceTokens(store, [token]), [null]);
  assert.deepEqual((await noteConnected(store, token.ref)).refusedRefs, [token.ref]);
});

onEachDatabase("device: are listed page by page, by owner and by tag", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const bob = await person(store, "bob");
  const ids: string[] = [];
  for (const tags of [
    ["a"],
    ["a", "b"],
    ["ab"],
    ['a"', "50%"],
    ["a_c"],
    ["abc\\"],
    ['b"a', 'x,"a"'],
  ]) {
    ids.push((await createDevice(store, TENANT, ann.id, { ...NEW, tags })).id);
  }
  const bobs = await createDevice(store, TENANT, bob.id, { ...NEW, tags: ["a"] });
  const walked: string[] = [];
  for (let after = ""; ; ) {
    const page = await listDevices(store, TENANT, { limit: 2, after });
    walked.push(...page.map(({ id }) => id));
    if (page.length < 2) break;
    after = page.at(-1)?.id ?? "";
  }
  assert.deepEqual(walked, [...ids, bobs.id].sort());
  const listed = async (tag: string) =>
    (await listDevices(store, TENANT, { limit: 10, tag, ownerId: ann.id }))
      .map(({ id }) => id)
      .sort();
  assert.deepEqual(await listed("a"), [ids[0], ids[1]].sort());
  assert.deepEqual(await listed("ab"), [ids[2]]);
  assert.deepEqual(await listed('a"'), [ids[3]]);
  assert.deepEqual(await listed("50%"), [ids[3]]);
  assert.deepEqual(await listed("5%"), []);
  assert.deepEqual(await listed("a_c"), [ids[4]]);
  assert.deepEqual(await listed("abc\\"), [ids[5]]);
  assert.deepEqual(await listed("A"), []);
});

onEachDatabase("device: are listed by state, by a part of the name, and by ids", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const active = await activeDevice(store, ann);
  const ids: Record<string, string> = {};
  for (const name of ["Press 1", "press 10", "Größe_5%", "lathe\\"]) {
    ids[name] = (await createDevice(store, TENANT, ann.id, { ...NEW, name })).id;
  }
  const names = async (filter: object) =>
    (await listDevices(store, TENANT, { limit: 10, ...filter })).map(({ name }) => name).sort();
  const all = ["Größe_5%", "Press 1", "lathe\\", "press", "press 10"];
  assert.deepEqual(await names({}), all);
  assert.deepEqual(await names({ state: "active" }), ["press"]);
  assert.deepEqual(
    await names({ state: "pending" }),
    all.filter((name) => name !== "press"),
  );
  assert.deepEqual(await names({ name: "PRESS" }), ["Press 1", "press", "press 10"]);
  assert.deepEqual(await names({ name: "s 1" }), ["Press 1", "press 10"]);
  assert.deepEqual(await names({ name: "ö" }), ["Größe_5%"]);
  assert.deepEqual(await names({ name: "_5%" }), ["Größe_5%"]);
  assert.deepEqual(await names({ name: "_1" }), []);
  assert.deepEqual(await names({ name: "\\" }), ["lathe\\"]);
  assert.deepEqual(await names({ ids: [] }), []);
  assert.deepEqual(await names({ ids: [active.id, ids["Press 1"] ?? "", "none"] }), [
    "Press 1",
    "press",
  ]);
  assert.deepEqual(await names({ ids: [active.id], state: "pending" }), []);
});

onEachDatabase("device: a paired one is active from its first connection", async (on) => {
  const store = await on.open();
  const { id, token } = await pairedDevice(store, await person(store, "ann"));
  on.clock.advance(ACTIVATION_MS - 1);
  const noted = await noteConnected(store, token.ref);
  assert.deepEqual([noted.endedRefs, noted.refusedRefs], [[], []]);
  const device = await getDevice(store, TENANT, id);
  assert.equal(device?.state, "active");
  assert.equal(device?.firstConnectedAt, store.now());
  assert.equal(device?.lastRemoteAddr, TUNNEL.remoteAddr);
  assert.equal(device?.agentVersion, TUNNEL.agentVersion);
  on.clock.advance(ACTIVATION_MS);
  assert.deepEqual(await removeUnconnectedDevices(store), []);
  await noteConnected(store, token.ref);
  await noteClosed(store, token.ref, "replaced");
  const closed = await getDevice(store, TENANT, id);
  assert.equal(closed?.lastCloseReason, "replaced");
  assert.equal(closed?.firstConnectedAt, device?.firstConnectedAt);
});

onEachDatabase(
  "device: a paired one that does not connect in ten minutes is gone with its token",
  async (on) => {
    const store = await on.open();
    const { id, token } = await pairedDevice(store, await person(store, "ann"));
    on.clock.advance(ACTIVATION_MS - 1);
    assert.deepEqual(await removeUnconnectedDevices(store), []);
    assert.notEqual((await authorizeDeviceTokens(store, [token]))[0], null);
    on.clock.advance(1);
    // At once, before anything was cleaned up.
    assert.deepEqual(await authorizeDeviceTokens(store, [token]), [null]);
    assert.deepEqual((await noteConnected(store, token.ref)).refusedRefs, [token.ref]);
    assert.deepEqual(await removeUnconnectedDevices(store), [
      { id, tenant: TENANT, name: "press", tokenRefs: [token.ref] },
    ]);
    assert.equal(await getDevice(store, TENANT, id), null);
    const tokens = await store.query.selectFrom("deviceTokens").select("ref").execute();
    assert.deepEqual(tokens, []);
    const { events } = await queryAuditEvents(store, TENANT, { limit: 10, objectId: id });
    assert.deepEqual(
      events.map(({ event }) => event),
      ["pairing_failed", "pairing_exchanged"],
    );
  },
);

onEachDatabase("device: one that a user made may take its time", async (on) => {
  const store = await on.open();
  const device = await createDevice(store, TENANT, (await person(store, "ann")).id, NEW);
  on.clock.advance(365 * 24 * 60 * ACTIVATION_MS);
  assert.deepEqual(await removeUnconnectedDevices(store), []);
  assert.deepEqual(await getDevice(store, TENANT, device.id), device);
});

onEachDatabase(
  "device: of some ids those of the tenant are found, and no foreign ones",
  async (on) => {
    const store = await on.open();
    const ours = await createDevice(store, TENANT, (await person(store, "ann")).id, NEW);
    const eve = await person(store, "eve", OTHER_TENANT);
    const foreign = await createDevice(store, OTHER_TENANT, eve.id, NEW);
    const ids = [ours.id, foreign.id, "abcdefgh234567ab", ours.id];
    assert.deepEqual(await findDeviceIds(store, TENANT, ids), new Set([ours.id]));
    assert.deepEqual(await findDeviceIds(store, TENANT, []), new Set());
  },
);
