import assert from "node:assert/strict";
import {
  createEnrolmentKey,
  type ExchangeStep,
  exchangeCredential,
  listDevices,
  listEnrolmentKeys,
  revokeEnrolmentKey,
  type Store,
  type TokenDigest,
} from "../../../../src/api/store/index.ts";
import { mintToken } from "../../../../src/core/token.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { DEVICE, digestOf, person, TENANT } from "../../../support/api-store/people.ts";

const STEPS: readonly ExchangeStep[] = ["claimed", "device_created", "token_stored", "audited"];

function enrol(store: Store, key: TokenDigest, token: TokenDigest = mintToken("device")) {
  const { ref, secretDigest } = key;
  const options = { tokenExpiresAt: null };
  return exchangeCredential(
    store,
    { kind: "enrolment", ref, secretDigest },
    DEVICE,
    token,
    options,
  );
}

async function enrolmentKey(store: Store, usesMax: number) {
  const ann = await person(store, "ann");
  const key = mintToken("enrolment");
  const made = await createEnrolmentKey(store, TENANT, ann.id, {
    ...key,
    name: "fleet",
    tags: ["hall-1"],
    usesMax,
    expiresAt: store.now() + 1_000,
  });
  return { key, made };
}

onEachDatabase(
  "enrolment key: enrols as many devices as it may, also at once, with its tags",
  async (on) => {
    const stores = [await on.open(), await on.open()];
    const [store] = stores;
    assert.ok(store !== undefined);
    const { key } = await enrolmentKey(store, 7);
    const attempts = Array.from({ length: 30 }, (_, index) =>
      enrol(stores[index % 2] ?? store, key),
    );
    const devices = (await Promise.all(attempts)).filter((device) => device !== null);
    assert.equal(devices.length, 7);
    assert.deepEqual(devices[0]?.tags, ["hall-1"]);
    assert.equal((await listDevices(store, TENANT, { limit: 100, tag: "hall-1" })).length, 7);
    assert.equal((await listEnrolmentKeys(store, TENANT, { limit: 10 }))[0]?.uses, 7);
  },
);

onEachDatabase(
  "enrolment key: a wrong secret, an unknown, expired or revoked key enrol nothing",
  async (on) => {
    const store = await on.open();
    const { key, made } = await enrolmentKey(store, 10);
    assert.ok(!("digest" in made));
    assert.equal(await enrol(store, { ref: key.ref, secretDigest: digestOf("wrong") }), null);
    assert.equal(await enrol(store, mintToken("enrolment")), null);
    assert.ok((await enrol(store, key)) !== null);
    const { key: revoked } = await enrolmentKey(store, 10);
    assert.equal((await revokeEnrolmentKey(store, TENANT, revoked.ref))?.revokedAt, store.now());
    assert.equal(await revokeEnrolmentKey(store, TENANT, revoked.ref), null);
    assert.equal(await enrol(store, revoked), null);
    on.clock.advance(999);
    assert.ok((await enrol(store, key)) !== null);
    on.clock.advance(1);
    assert.equal(await enrol(store, key), null);
    assert.equal((await store.query.selectFrom("devices").select("id").execute()).length, 2);
  },
);

onEachDatabase("enrolment key: a failed enrolment costs no use", async (on) => {
  const store = await on.open();
  const { key } = await enrolmentKey(store, 1);
  for (const step of STEPS) {
    const { ref, secretDigest } = key;
    const failing = exchangeCredential(
      store,
      { kind: "enrolment", ref, secretDigest },
      DEVICE,
      mintToken("device"),
      {
        tokenExpiresAt: null,
        onStep(at) {
          if (at === step) throw new Error("fault");
        },
      },
    );
    await assert.rejects(failing, /^Error: fault$/);
  }
  assert.ok((await enrol(store, key)) !== null);
  assert.equal(await enrol(store, key), null);
});
