import assert from "node:assert/strict";
import {
  AUTHORIZE_MAX,
  authorizeDeviceTokens,
  createDevice,
  createDeviceWithToken,
  ENDED_KEPT_MS,
  listDeviceTokens,
  ROTATION_GRACE_MS,
  removeExpired,
  replaceDeviceTokens,
  revokeDeviceTokens,
  rotateDeviceToken,
  type Store,
  StoreLimitError,
  TOKENS_PER_DEVICE_MAX,
  type TokenDigest,
} from "../../../../src/api/store/index.ts";
import { type MintedToken, mintToken } from "../../../../src/core/token.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  activeDevice,
  digestOf,
  IDLE_MS,
  person,
  TENANT,
} from "../../../support/api-store/people.ts";
import { noteConnected } from "../../../support/api-store/tunnels.ts";

async function good(store: Store, ...tokens: readonly TokenDigest[]): Promise<boolean[]> {
  return (await authorizeDeviceTokens(store, tokens)).map((device) => device !== null);
}

async function rotate(store: Store, id: string, expiresAt: number | null = null) {
  const token = mintToken("device");
  assert.ok((await rotateDeviceToken(store, TENANT, id, token, { expiresAt })) !== null);
  return token;
}

onEachDatabase("device token: opens its device's tunnel, by reference and digest", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const { id, token } = await activeDevice(store, ann);
  const { ref, secretDigest } = token;
  const unknown = mintToken("device");
  assert.deepEqual(
    await authorizeDeviceTokens(store, [
      unknown,
      { ref, secretDigest },
      { ref, secretDigest: digestOf("another secret") },
      { ref, secretDigest: "" },
      { ref: unknown.ref, secretDigest },
      { ref, secretDigest },
    ]),
    [
      null,
      {
        ref,
        deviceId: id,
        tenant: TENANT,
        ownerId: ann.id,
        awaitsApproval: false,
        expiresAt: null,
      },
      null,
      null,
      null,
      {
        ref,
        deviceId: id,
        tenant: TENANT,
        ownerId: ann.id,
        awaitsApproval: false,
        expiresAt: null,
      },
    ],
  );
  assert.deepEqual(await authorizeDeviceTokens(store, []), []);
});

onEachDatabase("device token: a batch may be a thousand", async (on) => {
  const store = await on.open();
  const { token } = await activeDevice(store, await person(store, "ann"));
  const batch: MintedToken[] = Array.from({ length: AUTHORIZE_MAX - 1 }, () => mintToken("device"));
  const answers = await good(store, ...batch, token);
  assert.equal(answers.length, AUTHORIZE_MAX);
  assert.deepEqual(
    answers.flatMap((known, at) => (known ? [at] : [])),
    [AUTHORIZE_MAX - 1],
  );
  await assert.rejects(good(store, ...batch, token, token), { code: "ERR_ASSERTION" });
});

onEachDatabase("device token: the old one is good until the new one is first used", async (on) => {
  const store = await on.open();
  const { id, token: old } = await activeDevice(store, await person(store, "ann"));
  const fresh = await rotate(store, id);
  assert.deepEqual(await good(store, old, fresh), [true, true]);
  assert.deepEqual((await noteConnected(store, old.ref)).endedRefs, []);
  assert.deepEqual(await good(store, old, fresh), [true, true]);
  assert.deepEqual((await noteConnected(store, fresh.ref)).endedRefs, [old.ref]);
  assert.deepEqual(await good(store, old, fresh), [false, true]);
  assert.deepEqual((await noteConnected(store, old.ref)).refusedRefs, [old.ref]);
});

onEachDatabase("device token: the old one is good for 24 hours at most", async (on) => {
  const store = await on.open();
  const { id, token: old } = await activeDevice(store, await person(store, "ann"));
  const fresh = await rotate(store, id);
  on.clock.advance(ROTATION_GRACE_MS - 1);
  assert.deepEqual(await good(store, old, fresh), [true, true]);
  on.clock.advance(1);
  assert.deepEqual(await good(store, old, fresh), [false, true]);
  const tokens = await listDeviceTokens(store, TENANT, id);
  assert.deepEqual(
    tokens?.map(({ ref }) => ref),
    [fresh.ref],
  );
});

onEachDatabase(
  "device token: rotated twice, each ends those before it and none after",
  async (on) => {
    const store = await on.open();
    const { id, token: first } = await activeDevice(store, await person(store, "ann"));
    const second = await rotate(store, id);
    on.clock.advance(1_000);
    const third = await rotate(store, id);
    await noteConnected(store, second.ref);
    assert.deepEqual(await good(store, first, second, third), [false, true, true]);
    // The grace of a token runs from its own rotation.
    on.clock.advance(ROTATION_GRACE_MS - 1);
    assert.deepEqual(await good(store, second, third), [true, true]);
    on.clock.advance(1);
    assert.deepEqual(await good(store, second, third), [false, true]);
  },
);

onEachDatabase("device token: one with an end is good until then", async (on) => {
  const store = await on.open();
  const device = await createDevice(store, TENANT, (await person(store, "ann")).id, {
    name: "press",
    tags: [],
    model: null,
    serial: null,
  });
  const token = await rotate(store, device.id, store.now() + 1_000);
  const [authorized] = await authorizeDeviceTokens(store, [token]);
  assert.equal(authorized?.expiresAt, store.now() + 1_000);
  on.clock.advance(999);
  assert.deepEqual(await good(store, token), [true]);
  on.clock.advance(1);
  assert.deepEqual(await good(store, token), [false]);
});

onEachDatabase("device token: one or all of a device are revoked at once, for good", async (on) => {
  const store = await on.open();
  const { id, token: old } = await activeDevice(store, await person(store, "ann"));
  const fresh = await rotate(store, id);
  assert.equal(await revokeDeviceTokens(store, TENANT, id, mintToken("device").ref), null);
  assert.deepEqual(await revokeDeviceTokens(store, TENANT, id, old.ref), [old.ref]);
  assert.deepEqual(await good(store, old, fresh), [false, true]);
  const last = await rotate(store, id);
  const ended = await revokeDeviceTokens(store, TENANT, id);
  assert.deepEqual([...(ended ?? [])].sort(), [fresh.ref, last.ref].sort());
  assert.deepEqual(await good(store, old, fresh, last), [false, false, false]);
  assert.deepEqual(await revokeDeviceTokens(store, TENANT, id), []);
  assert.deepEqual((await noteConnected(store, last.ref)).refusedRefs, [last.ref]);
  assert.equal(await revokeDeviceTokens(store, TENANT, "none"), null);
});

onEachDatabase(
  "device token: a device has eight good ones at most, also when they come at once",
  async (on) => {
    const stores = [await on.open(), await on.open()];
    const [store] = stores;
    assert.ok(store !== undefined);
    const { id } = await activeDevice(store, await person(store, "ann"));
    const rotations = Array.from({ length: 20 }, (_, index) =>
      rotateDeviceToken(stores[index % 2] ?? store, TENANT, id, mintToken("device"), {
        expiresAt: null,
      }).then(
        () => "added",
        (error: unknown) => {
          assert.ok(error instanceof StoreLimitError, String(error));
          return error.limit;
        },
      ),
    );
    const outcomes = await Promise.all(rotations);
    const added = outcomes.filter((outcome) => outcome === "added");
    assert.equal(added.length, TOKENS_PER_DEVICE_MAX - 1);
    assert.equal((await listDeviceTokens(store, TENANT, id))?.length, TOKENS_PER_DEVICE_MAX);
    assert.deepEqual([...new Set(outcomes)].sort(), ["added", "tokens_per_device"]);
  },
);

onEachDatabase("device token: one that ended is forgotten after a month", async (on) => {
  const store = await on.open();
  const { id, token: old } = await activeDevice(store, await person(store, "ann"));
  await revokeDeviceTokens(store, TENANT, id);
  const fresh = await rotate(store, id);
  const kept = async () => {
    await removeExpired(store, { idleMs: IDLE_MS });
    const rows = await store.query.selectFrom("deviceTokens").select("ref").execute();
    return rows.map(({ ref }) => ref).sort();
  };
  on.clock.advance(ENDED_KEPT_MS - 1);
  assert.deepEqual(await kept(), [fresh.ref, old.ref].sort());
  on.clock.advance(1);
  assert.deepEqual(await kept(), [fresh.ref]);
});

onEachDatabase("device token: a device is made with its first one, or not at all", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const device = { name: "press", tags: [], model: null, serial: null };
  const token = mintToken("device");
  const made = await createDeviceWithToken(store, TENANT, ann.id, device, token, {
    expiresAt: null,
  });
  assert.equal(made.activateBy, null);
  assert.deepEqual(
    (await authorizeDeviceTokens(store, [token])).map((each) => each?.deviceId),
    [made.id],
  );
  // Its reference is taken.
  await assert.rejects(
    createDeviceWithToken(store, TENANT, ann.id, device, token, { expiresAt: null }),
  );
  const devices = await store.query.selectFrom("devices").select("id").execute();
  assert.deepEqual(devices, [{ id: made.id }]);
});

onEachDatabase("device token: one that replaces all others ends them at once", async (on) => {
  const store = await on.open();
  const { id, token } = await activeDevice(store, await person(store, "ann"));
  const rotated = await rotate(store, id);
  const fresh = mintToken("device");
  const replaced = await replaceDeviceTokens(store, TENANT, id, fresh, { expiresAt: null });
  assert.deepEqual([...(replaced?.endedRefs ?? [])].sort(), [token.ref, rotated.ref].sort());
  assert.equal(replaced?.token.ref, fresh.ref);
  assert.equal(replaced?.token.generation, 3);
  assert.deepEqual(await good(store, token, rotated, fresh), [false, false, true]);
  const again = await replaceDeviceTokens(store, TENANT, id, mintToken("device"), {
    expiresAt: store.now() + 1,
  });
  assert.deepEqual(again?.endedRefs, [fresh.ref]);
  assert.equal(again?.token.expiresAt, store.now() + 1);
});

onEachDatabase("device token: replacing ones that were never there adds the first", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const bare = { name: "press", tags: [], model: null, serial: null };
  const { id } = await createDevice(store, TENANT, ann.id, bare);
  const token = mintToken("device");
  const replaced = await replaceDeviceTokens(store, TENANT, id, token, { expiresAt: null });
  assert.deepEqual(replaced?.endedRefs, []);
  assert.equal(replaced?.token.generation, 1);
  assert.deepEqual(await good(store, token), [true]);
});

onEachDatabase("device token: one that has ended rotates nothing any more", async (on) => {
  const store = await on.open();
  const { id, token } = await activeDevice(store, await person(store, "ann"));
  const rotateBy = (by: string) =>
    rotateDeviceToken(store, TENANT, id, mintToken("device"), { expiresAt: null, by });
  assert.ok((await rotateBy(token.ref)) !== null);
  assert.equal(await rotateBy("vAc_00000000"), null);
  await revokeDeviceTokens(store, TENANT, id);
  assert.equal(await rotateBy(token.ref), null);
  assert.deepEqual(await listDeviceTokens(store, TENANT, id), []);
});
