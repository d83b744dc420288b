import assert from "node:assert/strict";
import { CompiledQuery } from "kysely";
import type { Store } from "../../../../src/api/store/index.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";

const entry = (id: string) => ({
  browserKey: id.repeat(64),
  stateDigest: id.repeat(64),
  sealed: "sealed",
  createdAt: 0,
  expiresAt: 1,
});

function insert(store: Store, id: string, fails: boolean): Promise<void> {
  return store.lightTransaction(async (queries) => {
    await queries.insertInto("pendingSignIns").values(entry(id)).execute();
    if (fails) throw new Error("undone");
  });
}

onEachDatabase(
  "light transaction: all or nothing, and what comes after it waits for the disk again",
  async (on) => {
    const store = await on.open();
    const outcomes = await Promise.allSettled([
      insert(store, "a", false),
      insert(store, "b", true),
      insert(store, "c", false),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ["fulfilled", "rejected", "fulfilled"],
    );
    const rows = await store.query
      .selectFrom("pendingSignIns")
      .select("browserKey")
      .orderBy("browserKey")
      .execute();
    assert.deepEqual(
      rows.map(({ browserKey }) => browserKey[0]),
      ["a", "c"],
    );
    if (on.kind !== "sqlite") return;
    const full = await store.query.executeQuery(CompiledQuery.raw("pragma synchronous"));
    assert.deepEqual(full.rows, [{ synchronous: 2 }]);
  },
);
