import assert from "node:assert/strict";
import { LateDevices } from "../../../../src/api/devices/index.ts";
import {
  ACTIVATION_MS,
  getDevice,
  noteTunnels,
  recheckTokens,
  type Store,
} from "../../../../src/api/store/index.ts";
import { startRig } from "../../../support/api-devices/rig.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { MINUTE_MS, pairedDevice, TENANT } from "../../../support/api-store/people.ts";

async function isThere(store: Store, id: string): Promise<boolean> {
  return (await getDevice(store, TENANT, id)) !== null;
}

onEachDatabase(
  "late devices: one that connected before the API server went away is there when it is back",
  async (on, t) => {
    const rig = await startRig(on, t);
    const { id, token } = await pairedDevice(rig.store, rig.ann);
    const connectedAt = rig.store.now() + 5_000;
    // It went away before the relay told it, for longer than devices have.
    on.clock.advance(ACTIVATION_MS + MINUTE_MS);
    const late = new LateDevices(rig.context);
    await late.round();
    assert.ok(await isThere(rig.store, id));
    assert.deepEqual((await recheckTokens(rig.store, [token.ref])).ended, []);
    const addresses = { remoteAddr: "198.51.100.7:0", agentVersion: null };
    await noteTunnels(rig.store, [
      { kind: "opened", ref: token.ref, at: connectedAt, replaced: false, ...addresses },
    ]);
    on.clock.advance(MINUTE_MS);
    await late.round();
    assert.equal((await getDevice(rig.store, TENANT, id))?.state, "active");
    assert.deepEqual(rig.announced, []);
  },
);

onEachDatabase(
  "late devices: the word of a connection in the last moment has half a minute to come",
  async (on, t) => {
    const rig = await startRig(on, t);
    const late = new LateDevices(rig.context);
    await late.round();
    const { id, token } = await pairedDevice(rig.store, rig.ann);
    on.clock.advance(ACTIVATION_MS + 30_000 - 1);
    await late.round();
    assert.ok(await isThere(rig.store, id));
    on.clock.advance(1);
    await late.round();
    assert.ok(!(await isThere(rig.store, id)));
    assert.deepEqual(rig.announced, [{ revoked: [token.ref], devices: [id] }]);
  },
);

onEachDatabase(
  "late devices: after a database that was away a round is left out, as after a start",
  async (on, t) => {
    const rig = await startRig(on, t);
    const away = await on.open();
    await away.close();
    let isAway = true;
    const late = new LateDevices({
      ...rig.context,
      get store() {
        return isAway ? away : rig.store;
      },
    });
    const { id } = await pairedDevice(rig.store, rig.ann);
    on.clock.advance(ACTIVATION_MS + MINUTE_MS);
    await late.round();
    isAway = false;
    await late.round();
    assert.ok(await isThere(rig.store, id), "it was away at the start");
    isAway = true;
    await assert.rejects(late.round());
    isAway = false;
    await late.round();
    assert.ok(await isThere(rig.store, id), "it was away a moment ago");
    await late.round();
    assert.ok(!(await isThere(rig.store, id)));
  },
);
