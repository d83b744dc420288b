import assert from "node:assert/strict";
import {
  addPendingSignIn,
  PENDING_LIMITS,
  type Store,
  StoreLimitError,
  takePendingSignIn,
} from "../../../../src/api/store/index.ts";
import { onEachDatabase } from "../../../support/api-store/each-database.ts";
import { digestOf } from "../../../support/api-store/people.ts";

const BROWSER = digestOf("browser");

function add(store: Store, state: string, browserKey = BROWSER): Promise<void> {
  return addPendingSignIn(store, { browserKey, stateDigest: digestOf(state), sealed: state });
}

function take(store: Store, state: string, browserKey = BROWSER) {
  return takePendingSignIn(store, browserKey, digestOf(state));
}

onEachDatabase("pending sign-in: is taken once, by its own browser", async (on) => {
  const store = await on.open();
  await add(store, "one");
  assert.equal(await take(store, "one", digestOf("another browser")), null);
  assert.equal(await take(store, "two"), null);
  assert.equal((await take(store, "one"))?.sealed, "one");
  assert.equal(await take(store, "one"), null);
});

onEachDatabase(
  "pending sign-in: of 50 that take it at once, from two stores, one gets it",
  async (on) => {
    const stores = [await on.open(), await on.open()];
    await Promise.all(stores.map((store, index) => add(store, `state-${index}`)));
    const takes = Array.from({ length: 50 }, (_, index) => stores[index % 2]).map((store) => {
      assert.ok(store !== undefined);
      return take(store, "state-0");
    });
    const taken = (await Promise.all(takes)).filter((entry) => entry !== null);
    assert.equal(taken.length, 1);
  },
);

onEachDatabase("pending sign-in: lasts ten minutes", async (on) => {
  const store = await on.open();
  await add(store, "in time");
  await add(store, "late");
  on.clock.advance(PENDING_LIMITS.ttlMs - 1);
  assert.ok((await take(store, "in time")) !== null);
  on.clock.advance(1);
  assert.equal(await take(store, "late"), null);
});

onEachDatabase("pending sign-in: the ninth of a browser drops the first", async (on) => {
  const store = await on.open();
  await add(store, "elsewhere", digestOf("another browser"));
  for (let count = 1; count <= 8; count++) {
    await add(store, `state-${count}`);
    on.clock.advance(1);
  }
  await add(store, "state-9");
  assert.equal(await take(store, "state-1"), null);
  for (let count = 2; count <= 9; count++) {
    assert.ok((await take(store, `state-${count}`)) !== null, `state-${count}`);
  }
  assert.ok((await take(store, "elsewhere", digestOf("another browser"))) !== null);
});

onEachDatabase("pending sign-in: 30 of one browser at once leave eight", async (on) => {
  const store = await on.open();
  await Promise.all(Array.from({ length: 30 }, (_, index) => add(store, `state-${index}`)));
  const rows = await store.query.selectFrom("pendingSignIns").selectAll().execute();
  assert.equal(rows.length, PENDING_LIMITS.perBrowserMax);
});

onEachDatabase(
  "pending sign-in: all browsers together have a limit, which expiry makes room under",
  async (on) => {
    const store = await on.open();
    const limits = { ...PENDING_LIMITS, totalMax: 3 };
    const addFor = (browser: string) =>
      addPendingSignIn(
        store,
        { browserKey: digestOf(browser), stateDigest: digestOf("s"), sealed: "x" },
        limits,
      );
    for (const browser of ["a", "b", "c"]) await addFor(browser);
    await assert.rejects(addFor("d"), (error) => {
      assert.ok(error instanceof StoreLimitError);
      assert.equal(error.limit, "login_attempts");
      return true;
    });
    on.clock.advance(limits.ttlMs);
    await addFor("d");
  },
);
