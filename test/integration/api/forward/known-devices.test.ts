import assert from "node:assert/strict";
import { test } from "node:test";
import { KnownDevices } from "../../../../src/api/forward/known-devices.ts";
import { wireTenant } from "../../../../src/api/relay-link/index.ts";
import {
  ACTIVATION_MS,
  deleteDevice,
  removeUnconnectedDevices,
} from "../../../../src/api/store/index.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  activeDevice,
  OTHER_TENANT,
  pairedDevice,
  person,
  TENANT,
} from "../../../support/api-store/people.ts";
import { startRig } from "../../../support/relay-link/rig.ts";

test("known devices: found ones are good for a second, of their tenant alone, and so many at most", async (t) => {
  const { store } = await startRig(t);
  const ann = await person(store, "ann");
  const [first, second, third] = [
    await activeDevice(store, ann),
    await activeDevice(store, ann),
    await activeDevice(store, ann),
  ];
  let now = 0;
  const known = new KnownDevices(store, () => now, 2);
  const name = wireTenant(TENANT);
  assert.equal(await known.tenantNameFor(TENANT, first.id), name);
  assert.equal(known.tenantNameFor(TENANT, first.id), name);
  assert.equal(await known.tenantNameFor(OTHER_TENANT, first.id), null);
  assert.equal(known.size, 1);
  // As another process does it.
  await store.query.deleteFrom("devices").where("id", "=", first.id).execute();
  now = 999;
  assert.equal(known.tenantNameFor(TENANT, first.id), name);
  now = 1_000;
  assert.equal(await known.tenantNameFor(TENANT, first.id), null);
  assert.equal(known.size, 0);
  for (const { id } of [second, third, second]) await known.tenantNameFor(TENANT, id);
  assert.equal(known.size, 2);
  const fourth = await activeDevice(store, ann);
  assert.equal(await known.tenantNameFor(TENANT, fourth.id), name);
  assert.ok(known.size <= 2);
});

test("known devices: one that this process removed is known no longer, nor kept by a look-up under way", async (t) => {
  const { store } = await startRig(t);
  const ann = await person(store, "ann");
  const [first, second] = [await activeDevice(store, ann), await activeDevice(store, ann)];
  const known = new KnownDevices(store, () => 0);
  assert.notEqual(await known.tenantNameFor(TENANT, first.id), null);
  const deleted = deleteDevice(store, TENANT, second.id);
  const meanwhile = known.tenantNameFor(TENANT, second.id);
  await deleted;
  await meanwhile;
  assert.equal(await known.tenantNameFor(TENANT, second.id), null);
  assert.notEqual(await known.tenantNameFor(TENANT, first.id), null);
  await deleteDevice(store, TENANT, first.id);
  assert.equal(await known.tenantNameFor(TENANT, first.id), null);
});

onEachDatabase("known devices: one that did not connect in time is known no longer", async (on) => {
  const store = await on.open();
  const device = await pairedDevice(store, await person(store, "ann"));
  const known = new KnownDevices(store, () => 0);
  assert.notEqual(await known.tenantNameFor(TENANT, device.id), null);
  on.clock.advance(ACTIVATION_MS);
  assert.equal((await removeUnconnectedDevices(store)).length, 1);
  assert.equal(await known.tenantNameFor(TENANT, device.id), null);
});
