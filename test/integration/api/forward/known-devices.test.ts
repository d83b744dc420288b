import assert from "node:assert/strict";
import { test } from "node:test";
import { KnownDevices } from "../../../../src/api/forward/known-devices.ts";
import { wireTenant } from "../../../../src/api/relay-link/index.ts";
import { deleteDevice } from "../../../../src/api/store/index.ts";
import { activeDevice, OTHER_TENANT, person, TENANT } from "../../../support/api-store/people.ts";
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
  await deleteDevice(store, TENANT, first.id);
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
