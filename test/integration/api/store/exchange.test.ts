import assert from "node:assert/strict";
import {
  authorizeDeviceTokens,
  cancelPairingCode,
  deleteDevice,
  disableUser,
  ENDED_KEPT_MS,
  type ExchangeStep,
  exchangeCredential,
  getDevice,
  listPairingCodes,
  PAIRING_LIMITS,
  queryAuditEvents,
  removeExpired,
  type Store,
  type TokenDigest,
} from "../../../../src/api/store/index.ts";
import { mintToken } from "../../../../src/core/token.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  DEVICE,
  digestOf,
  IDLE_MS,
  OTHER_TENANT,
  pairingCode,
  person,
  TENANT,
} from "../../../support/api-store/people.ts";
import { startProcess } from "../../../support/api-store/processes.ts";

const STEPS: readonly ExchangeStep[] = ["claimed", "device_created", "token_stored", "audited"];

function exchange(store: Store, digest: string, token: TokenDigest = mintToken("device")) {
  const options = { tokenExpiresAt: null };
  return exchangeCredential(store, { kind: "code", digest }, DEVICE, token, options);
}

/** How many devices and tokens there are, and in which state the only code is. */
async function traces(store: Store) {
  const devices = await store.query.selectFrom("devices").select("id").execute();
  const tokens = await store.query.selectFrom("deviceTokens").select("ref").execute();
  const codes = await store.query.selectFrom("pairingCodes").select("state").execute();
  const { events } = await queryAuditEvents(store, TENANT, { limit: 10 });
  return {
    devices: devices.length,
    tokens: tokens.length,
    codes: codes.map(({ state }) => state),
    events: events.length,
  };
}

const UNTOUCHED = { devices: 0, tokens: 0, codes: ["unused"], events: 0 };

onEachDatabase(
  "exchange: a code gives a device of its creator, with the token, once",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const { id, digest } = await pairingCode(store, ann);
    const token = mintToken("device");
    const device = await exchange(store, digest, token);
    assert.equal(device?.tenant, TENANT);
    assert.equal(device?.ownerId, ann.id);
    assert.equal(device?.state, "pending");
    assert.deepEqual(await getDevice(store, TENANT, device?.id ?? ""), device);
    const [authorized] = await authorizeDeviceTokens(store, [token]);
    assert.equal(authorized?.deviceId, device?.id);
    const [code] = await listPairingCodes(store, TENANT, { limit: 10 });
    assert.deepEqual(
      [code?.id, code?.state, code?.deviceId, code?.usedAt],
      [id, "used", device?.id, store.now()],
    );
    const { events } = await queryAuditEvents(store, TENANT, { limit: 10 });
    assert.deepEqual(
      events.map(({ event, objectId, actor, ip }) => ({ event, objectId, actor, ip })),
      [{ event: "pairing_exchanged", objectId: device?.id, actor: ann.id, ip: DEVICE.ip }],
    );
    assert.equal(await exchange(store, digest), null);
  },
);

onEachDatabase("exchange: of 100 at once from two processes exactly one succeeds", async (on) => {
  const store = await on.open();
  const { digest } = await pairingCode(store, await person(store, "ann"));
  const processes = await Promise.all(
    [1, 2].map(() => startProcess("exchange", on.url, digest, "50")),
  );
  const [left, right] = await Promise.all(processes.map((one) => one.go()));
  assert.equal(Number(left) + Number(right), 1);
  await Promise.all(processes.map((one) => one.ended()));
  assert.deepEqual(await traces(store), { devices: 1, tokens: 1, codes: ["used"], events: 1 });
});

onEachDatabase(
  "exchange: of 100 at once from two stores of one process exactly one succeeds",
  async (on) => {
    const stores = [await on.open(), await on.open()];
    const [store] = stores;
    assert.ok(store !== undefined);
    const { digest } = await pairingCode(store, await person(store, "ann"));
    const attempts = Array.from({ length: 100 }, (_, index) =>
      exchange(stores[index % 2] ?? store, digest),
    );
    const devices = (await Promise.all(attempts)).filter((device) => device !== null);
    assert.equal(devices.length, 1);
    assert.deepEqual(await traces(store), { devices: 1, tokens: 1, codes: ["used"], events: 1 });
  },
);

for (const step of STEPS) {
  onEachDatabase(
    `exchange: a fault after "${step}" leaves nothing, and the code good`,
    async (on) => {
      const store = await on.open();
      const { digest } = await pairingCode(store, await person(store, "ann"));
      const token = mintToken("device");
      const failing = exchangeCredential(store, { kind: "code", digest }, DEVICE, token, {
        tokenExpiresAt: null,
        onStep(at) {
          if (at === step) throw new Error("fault");
        },
      });
      await assert.rejects(failing, /^Error: fault$/);
      assert.deepEqual(await traces(store), UNTOUCHED);
      assert.deepEqual(await authorizeDeviceTokens(store, [token]), [null]);
      assert.ok((await exchange(store, digest, token)) !== null);
    },
  );

  onEachDatabase(
    `exchange: a process killed after "${step}" leaves nothing, and the code good`,
    async (on) => {
      const store = await on.open();
      const { digest } = await pairingCode(store, await person(store, "ann"));
      const process = await startProcess("stall", on.url, digest, step);
      assert.equal(await process.go(), step);
      await process.kill();
      assert.deepEqual(await traces(store), UNTOUCHED);
      assert.ok((await exchange(store, digest)) !== null);
    },
  );
}

onEachDatabase("exchange: a token that exists already undoes all of it", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const token = mintToken("device");
  await exchange(store, (await pairingCode(store, ann)).digest, token);
  const { digest } = await pairingCode(store, ann);
  await assert.rejects(exchange(store, digest, token));
  const states = (await traces(store)).codes;
  assert.deepEqual(states.sort(), ["unused", "used"]);
  assert.ok((await exchange(store, digest)) !== null);
});

onEachDatabase(
  "exchange: a code is good for ten minutes, and a clock set back does not revive it",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const inTime = await pairingCode(store, ann);
    const late = await pairingCode(store, ann);
    const unseen = await pairingCode(store, ann);
    on.clock.advance(PAIRING_LIMITS.ttlMs - 1);
    assert.ok((await exchange(store, inTime.digest)) !== null);
    on.clock.advance(1);
    const listed = await listPairingCodes(store, TENANT, { limit: 10 });
    assert.deepEqual(listed.map(({ state }) => state).sort(), ["expired", "expired", "used"]);
    assert.equal(await exchange(store, late.digest), null);
    await removeExpired(store, { idleMs: IDLE_MS });
    on.clock.advance(-PAIRING_LIMITS.ttlMs);
    for (const { digest } of [inTime, late, unseen]) {
      assert.equal(await exchange(store, digest), null);
    }
  },
);

onEachDatabase(
  "exchange: a used code stays used when its device is deleted and the database opened anew",
  async (on) => {
    const store = await on.open();
    const { digest } = await pairingCode(store, await person(store, "ann"));
    const device = await exchange(store, digest);
    await deleteDevice(store, TENANT, device?.id ?? "");
    assert.equal(await exchange(store, digest), null);
    const again = await on.open();
    assert.equal(await exchange(again, digest), null);
    on.clock.advance(PAIRING_LIMITS.ttlMs + ENDED_KEPT_MS);
    await removeExpired(again, { idleMs: IDLE_MS });
    on.clock.advance(-PAIRING_LIMITS.ttlMs - ENDED_KEPT_MS);
    assert.equal(await exchange(again, digest), null);
  },
);

onEachDatabase(
  "exchange: unknown, used, cancelled, expired, and of a disabled user are one answer",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const used = await pairingCode(store, ann);
    await exchange(store, used.digest);
    const cancelled = await pairingCode(store, ann);
    assert.equal((await cancelPairingCode(store, TENANT, cancelled.id))?.state, "cancelled");
    assert.equal(await cancelPairingCode(store, TENANT, cancelled.id), null);
    assert.equal(await cancelPairingCode(store, TENANT, used.id), null);
    const bob = await person(store, "bob");
    const disabled = await pairingCode(store, bob);
    await disableUser(store, TENANT, bob.id);
    for (const digest of [used.digest, cancelled.digest, disabled.digest, digestOf("?"), ""]) {
      assert.equal(await exchange(store, digest), null);
    }
  },
);

onEachDatabase("exchange: a serial that another tenant knows gives a new device", async (on) => {
  const store = await on.open();
  const anns = await exchange(store, (await pairingCode(store, await person(store, "ann"))).digest);
  const eve = await person(store, "eve", OTHER_TENANT);
  const eves = await exchange(store, (await pairingCode(store, eve)).digest);
  assert.equal(eves?.serial, anns?.serial);
  assert.notEqual(eves?.id, anns?.id);
  assert.equal(eves?.tenant, OTHER_TENANT);
  assert.deepEqual(await getDevice(store, TENANT, anns?.id ?? ""), anns);
});
