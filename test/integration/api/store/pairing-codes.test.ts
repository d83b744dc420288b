import assert from "node:assert/strict";
import {
  cancelPairingCode,
  createPairingCode,
  listPairingCodes,
  PAIRING_LIMITS,
  StoreLimitError,
} from "../../../../src/api/store/index.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  digestOf,
  OTHER_TENANT,
  pairingCode,
  person,
  TENANT,
} from "../../../support/api-store/people.ts";

onEachDatabase("pairing code: a user has five, a tenant fifty that can be used", async (on) => {
  const stores = [await on.open(), await on.open()];
  const [store] = stores;
  assert.ok(store !== undefined);
  const limitOf = (error: unknown): string => {
    assert.ok(error instanceof StoreLimitError, String(error));
    return error.limit;
  };
  const ann = await person(store, "ann");
  const attempts = Array.from({ length: 12 }, (_, index) =>
    pairingCode(stores[index % 2] ?? store, ann).then(() => "made", limitOf),
  );
  const outcomes = await Promise.all(attempts);
  assert.equal(outcomes.filter((outcome) => outcome === "made").length, 5);
  assert.equal(outcomes.filter((outcome) => outcome === "codes_per_user").length, 7);
  for (let index = 0; index < 9; index++) {
    const user = await person(store, `user-${index}`);
    for (let count = 0; count < 5; count++) await pairingCode(store, user);
  }
  const bob = await person(store, "bob");
  assert.equal(await pairingCode(store, bob).then(() => "made", limitOf), "codes_per_tenant");
  await pairingCode(store, await person(store, "eve", OTHER_TENANT));
  const [first] = await listPairingCodes(store, TENANT, { limit: 1, creatorId: ann.id });
  await cancelPairingCode(store, TENANT, first?.id ?? "");
  await pairingCode(store, bob);
  on.clock.advance(PAIRING_LIMITS.ttlMs);
  for (let count = 0; count < 5; count++) await pairingCode(store, ann);
});

onEachDatabase("pairing code: a listing has no digest", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const digest = digestOf("code");
  const made = await createPairingCode(store, TENANT, ann.id, { digest, prefix: "hwp_7" });
  const [listed] = await listPairingCodes(store, TENANT, { limit: 10 });
  assert.deepEqual(listed, made);
  assert.ok(!JSON.stringify(listed).includes(digest));
});
