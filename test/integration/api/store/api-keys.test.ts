import assert from "node:assert/strict";
import {
  createApiKey,
  ENDED_KEPT_MS,
  findApiKey,
  getApiKey,
  KEYS_PER_USER_MAX,
  LAST_USED_WRITE_MS,
  noteApiKeyUsed,
  queryApiKeys,
  removeExpired,
  revokeApiKey,
  type Store,
  StoreLimitError,
  setUserRole,
  type User,
} from "../../../../src/api/store/index.ts";
import { mintToken } from "../../../../src/core/token.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import {
  digestOf,
  IDLE_MS,
  OTHER_TENANT,
  person,
  TENANT,
} from "../../../support/api-store/people.ts";

const TTL_MS = 1_000_000;

async function newKey(store: Store, user: User, devices: readonly string[] | null = null) {
  const token = mintToken("key");
  const key = await createApiKey(store, user.tenant, user.id, {
    ...token,
    name: "harness",
    scopes: ["devices:read", "tunnel:use"],
    devices,
    requestsPerMinute: 600,
    expiresAt: store.now() + TTL_MS,
  });
  return { token, key };
}

onEachDatabase(
  "API key: is found by reference and digest, with its owner's role of now",
  async (on) => {
    const store = await on.open();
    const ann = await person(store, "ann");
    const { token, key } = await newKey(store, ann, ["abcdefgh234567ab"]);
    assert.deepEqual(await findApiKey(store, token), { ...key, ownerRole: "member" });
    assert.deepEqual(key.scopes, ["devices:read", "tunnel:use"]);
    assert.deepEqual(key.devices, ["abcdefgh234567ab"]);
    await setUserRole(store, TENANT, ann.id, "admin");
    assert.equal((await findApiKey(store, token))?.ownerRole, "admin");
    const { ref, secretDigest } = token;
    for (const wrong of [
      mintToken("key"),
      { ref, secretDigest: digestOf("wrong") },
      { ref, secretDigest: "" },
      { ref: mintToken("key").ref, secretDigest },
    ]) {
      assert.equal(await findApiKey(store, wrong), null);
    }
  },
);

onEachDatabase("API key: no answer but the look-up's own comparison has the digest", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const { token, key } = await newKey(store, ann);
  const answers = [
    key,
    await getApiKey(store, TENANT, token.ref),
    await queryApiKeys(store, TENANT, { limit: 10 }),
    await findApiKey(store, token),
    await revokeApiKey(store, TENANT, token.ref),
  ];
  assert.ok(!JSON.stringify(answers).includes(token.secretDigest));
});

onEachDatabase("API key: ends at its end, or when it is revoked", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const { token } = await newKey(store, ann);
  const { token: revoked } = await newKey(store, ann);
  assert.equal((await revokeApiKey(store, TENANT, revoked.ref))?.revokedAt, store.now());
  assert.equal(await revokeApiKey(store, TENANT, revoked.ref), null);
  assert.equal(await findApiKey(store, revoked), null);
  on.clock.advance(TTL_MS - 1);
  assert.ok((await findApiKey(store, token)) !== null);
  on.clock.advance(1);
  assert.equal(await findApiKey(store, token), null);
});

onEachDatabase("API key: its last use is written once a minute", async (on) => {
  const store = await on.open();
  const { token } = await newKey(store, await person(store, "ann"));
  const lastUse = async () => {
    const key = await getApiKey(store, TENANT, token.ref);
    return [key?.lastUsedAt, key?.lastUsedIp];
  };
  assert.deepEqual(await lastUse(), [null, null]);
  const start = store.now();
  await noteApiKeyUsed(store, token.ref, "192.0.2.1");
  on.clock.advance(LAST_USED_WRITE_MS - 1);
  await noteApiKeyUsed(store, token.ref, "192.0.2.2");
  assert.deepEqual(await lastUse(), [start, "192.0.2.1"]);
  on.clock.advance(1);
  await noteApiKeyUsed(store, token.ref, "192.0.2.3");
  assert.deepEqual(await lastUse(), [start + LAST_USED_WRITE_MS, "192.0.2.3"]);
});

onEachDatabase(
  "API key: a user has twenty that are good, also when they come at once",
  async (on) => {
    const stores = [await on.open(), await on.open()];
    const [store] = stores;
    assert.ok(store !== undefined);
    const ann = await person(store, "ann");
    const attempts = Array.from({ length: 30 }, (_, index) =>
      newKey(stores[index % 2] ?? store, ann).then(
        () => "made",
        (error: unknown) => {
          assert.ok(error instanceof StoreLimitError, String(error));
          return error.limit;
        },
      ),
    );
    const outcomes = await Promise.all(attempts);
    assert.equal(outcomes.filter((outcome) => outcome === "made").length, KEYS_PER_USER_MAX);
    assert.equal(outcomes.filter((outcome) => outcome === "keys_per_user").length, 10);
    const bob = await person(store, "bob");
    await newKey(store, bob);
    const { keys } = await queryApiKeys(store, TENANT, { limit: 1, ownerId: ann.id });
    await revokeApiKey(store, TENANT, keys[0]?.ref ?? "");
    await newKey(store, ann);
    await assert.rejects(newKey(store, ann), { code: "ERR_STORE_LIMIT" });
    on.clock.advance(TTL_MS);
    await newKey(store, ann);
    const bobs = await queryApiKeys(store, TENANT, { limit: 100, ownerId: bob.id });
    assert.equal(bobs.keys.length, 1);
  },
);

onEachDatabase("API key: one that ended is listed for a month", async (on) => {
  const store = await on.open();
  const { token } = await newKey(store, await person(store, "ann"));
  await revokeApiKey(store, TENANT, token.ref);
  const listed = async () => {
    await removeExpired(store, { idleMs: IDLE_MS });
    return (await queryApiKeys(store, TENANT, { limit: 10 })).keys.length;
  };
  on.clock.advance(ENDED_KEPT_MS - 1);
  assert.equal(await listed(), 1);
  on.clock.advance(1);
  assert.equal(await listed(), 0);
});

onEachDatabase("API key: pages hold each key once, the newest first", async (on) => {
  const store = await on.open();
  const ann = await person(store, "ann");
  const made: string[] = [];
  for (let count = 0; count < 7; count++) {
    // Three at a time at one moment: what order they have among themselves is the database's affair.
    if (count % 3 === 0) on.clock.advance(1);
    made.push((await newKey(store, ann)).token.ref);
  }
  await newKey(store, await person(store, "bob"));
  await newKey(store, await person(store, "eve", OTHER_TENANT));
  const seen: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const filter = { limit: 2, ownerId: ann.id, ...(cursor === undefined ? {} : { cursor }) };
    const { keys, next } = await queryApiKeys(store, TENANT, filter);
    seen.push(...keys.map(({ ref }) => ref));
    if (next === undefined) break;
    cursor = next;
  }
  assert.equal(seen.length, made.length);
  const moments = (refs: readonly string[]) => [refs.slice(0, 3), refs.slice(3, 6), refs.slice(6)];
  assert.deepEqual(
    [seen.slice(0, 1), seen.slice(1, 4), seen.slice(4)].map((refs) => new Set(refs)),
    moments(made)
      .map((refs) => new Set(refs))
      .reverse(),
  );
});

onEachDatabase("API key: a cursor that no page gave out is refused", async (on) => {
  const store = await on.open();
  for (const cursor of ["", "0", ".hwk_00000001", "1.hwk_0000000", "1.hwk_00000001'"]) {
    const page = queryApiKeys(store, TENANT, { limit: 1, cursor });
    await assert.rejects(page, { code: "ERR_STORE_CURSOR_INVALID" }, cursor);
  }
});
