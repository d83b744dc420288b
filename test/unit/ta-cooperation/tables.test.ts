import assert from "node:assert/strict";
import test from "node:test";
import { Directory, ReplayCache } from "../../../examples/ta-cooperation/idp/index.ts";
import { ExpiringMap } from "../../../examples/ta-cooperation/wire/expiring-map.ts";

test("replay cache: a jti is fresh once, for each issuer, until its assertion has ended", () => {
  let now = 0;
  const cache = new ReplayCache(10, () => now);
  assert.equal(cache.use("a", "1", 100), "fresh");
  assert.equal(cache.use("a", "1", 100), "seen");
  assert.equal(cache.use("b", "1", 100), "fresh");
  // A pair is no text that another pair could make too.
  assert.equal(cache.use('a","1', "2", 100), "fresh");
  assert.equal(cache.use("a", '1","2', 100), "fresh");
  now = 100;
  assert.equal(cache.use("a", "1", 200), "seen");
  now = 101;
  assert.equal(cache.use("a", "1", 200), "fresh");
});

test("replay cache: a full one takes no new jti and forgets no good one, until one has ended", () => {
  let now = 0;
  const cache = new ReplayCache(2, () => now);
  assert.equal(cache.use("a", "1", 100), "fresh");
  assert.equal(cache.use("a", "2", 200), "fresh");
  assert.equal(cache.use("a", "3", 300), "full");
  assert.equal(cache.use("a", "1", 100), "seen");
  assert.equal(cache.use("a", "2", 200), "seen");
  now = 101;
  assert.equal(cache.use("a", "3", 300), "fresh");
  assert.equal(cache.size, 2);
  assert.equal(cache.use("a", "2", 200), "seen");
});

test("expiring map: a value is there until its end", () => {
  let now = 0;
  const map = new ExpiringMap<string>(2, () => now);
  map.set("a", "1", 100);
  now = 99;
  assert.equal(map.get("a"), "1");
  now = 100;
  assert.equal(map.get("a"), undefined);
  assert.equal(map.size, 0);
});

test("expiring map: beyond its limit the value set longest ago makes room", () => {
  const map = new ExpiringMap<string>(2, () => 0);
  map.set("a", "1", 100);
  map.set("b", "2", 100);
  map.set("a", "3", 100);
  assert.equal(map.size, 2);
  map.set("c", "4", 100);
  assert.deepEqual([map.get("a"), map.get("b"), map.get("c")], ["3", undefined, "4"]);
});

test("directory: each table takes as many entries as it may, and known ones anew", () => {
  const directory = new Directory({ entriesMax: 1, pairwiseSalt: "salt" });
  const adds: ReadonlyArray<(id: string) => void> = [
    (id) => directory.addAccount({ id, attributes: {} }),
    (id) => directory.addTa({ clientId: id }),
    (id) => directory.addIdp({ issuer: id }),
    (id) => directory.consent(id, "ta", { scopes: [], claims: [] }),
  ];
  for (const add of adds) {
    add("a");
    add("a");
    assert.throws(() => add("b"), /keeps 1 entries/);
  }
});
