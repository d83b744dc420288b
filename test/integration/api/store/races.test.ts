import assert from "node:assert/strict";
import {
  ACTIVATION_MS,
  deleteDevice,
  listDeviceTokens,
  removeUnconnectedDevices,
  replaceDeviceTokens,
  revokeDeviceTokens,
  rotateDeviceToken,
} from "../../../../src/api/store/index.ts";
import { mintToken } from "../../../../src/core/token.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { activeDevice, pairedDevice, person, TENANT } from "../../../support/api-store/people.ts";

/** Two API servers on one database that do opposite things to one device. Each of them is over before the other begins. */

const ROUNDS = 25;
const FOREVER = { expiresAt: null };

onEachDatabase(
  "races: a token that is added while its device is deleted ends with it, and nothing fails",
  async (on) => {
    const [here, there] = [await on.open(), await on.open()];
    const ann = await person(here, "ann");
    for (let round = 0; round < ROUNDS; round++) {
      const { id } = await activeDevice(here, ann);
      const token = mintToken("device");
      const add = round % 2 === 0 ? rotateDeviceToken : replaceDeviceTokens;
      const [added, deleted] = await Promise.all([
        add(here, TENANT, id, token, FOREVER),
        deleteDevice(there, TENANT, id),
      ]);
      assert.ok(deleted !== null);
      if (added !== null) assert.ok(deleted.tokenRefs.includes(token.ref), `round ${round}`);
      assert.equal(await listDeviceTokens(here, TENANT, id), null);
    }
  },
);

onEachDatabase(
  "races: a token that is added while its device is removed for not connecting fails nothing",
  async (on) => {
    const [here, there] = [await on.open(), await on.open()];
    const ann = await person(here, "ann");
    for (let round = 0; round < ROUNDS; round++) {
      const { id } = await pairedDevice(here, ann);
      on.clock.advance(ACTIVATION_MS);
      const add = round % 2 === 0 ? rotateDeviceToken : replaceDeviceTokens;
      const [, removed] = await Promise.all([
        add(here, TENANT, id, mintToken("device"), FOREVER),
        removeUnconnectedDevices(there),
      ]);
      assert.deepEqual(
        removed.map((device) => device.id),
        [id],
      );
      assert.equal(await listDeviceTokens(here, TENANT, id), null);
    }
  },
);

onEachDatabase(
  "races: after a rotation and a revocation at once a token is good, or none is",
  async (on) => {
    const [here, there] = [await on.open(), await on.open()];
    const ann = await person(here, "ann");
    for (let round = 0; round < ROUNDS; round++) {
      const { id, token } = await activeDevice(here, ann);
      const next = mintToken("device");
      const [rotated, revoked] = await Promise.all([
        rotateDeviceToken(here, TENANT, id, next, FOREVER),
        revokeDeviceTokens(there, TENANT, id),
      ]);
      assert.ok(rotated !== null);
      assert.ok(revoked?.includes(token.ref) === true);
      const good = (await listDeviceTokens(here, TENANT, id))?.map(({ ref }) => ref);
      assert.deepEqual(good, revoked.includes(next.ref) ? [] : [next.ref]);
    }
  },
);
