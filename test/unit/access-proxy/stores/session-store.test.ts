import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import Database from "libsql";
import { openSessionStore } from "../../../../src/access-proxy/stores/index.ts";
import { testFolder } from "../../../support/access-proxy/folder.ts";

const HOUR = 3_600_000;

function session(id: string, expiresAt: number) {
  return { id, expiresAt };
}

test("session store: one in use is found without a look at the disk, and after a restart with one", async (t) => {
  const folder = testFolder(t);
  const now = Date.now();
  const first = await openSessionStore(folder);
  await first.save("k", session("s1", now + HOUR), now + HOUR);
  assert.deepEqual(first.get("k"), session("s1", now + HOUR));
  first.close();
  const sessions = await openSessionStore(folder);
  t.after(() => sessions.close());
  assert.equal(sessions.count, 1);
  const fetched = sessions.get("k");
  assert.ok(fetched instanceof Promise);
  assert.deepEqual(await fetched, session("s1", now + HOUR));
  assert.deepEqual(sessions.get("k"), session("s1", now + HOUR));
  assert.equal(await sessions.get("other"), undefined);
});

test("session store: a later end is never replaced by an earlier one, in whatever order 200 arrive", async (t) => {
  const folder = testFolder(t);
  const [one, other] = [await openSessionStore(folder), await openSessionStore(folder)];
  t.after(() => [one, other].map((store) => store.close()));
  const now = Date.now();
  const ends = Array.from({ length: 200 }, (_, index) => now + HOUR + ((index * 73) % 200) * 1_000);
  await Promise.all(
    ends.map((end, index) =>
      (index % 2 === 0 ? one : other).save("k", session(`s${end}`, end), end),
    ),
  );
  const latest = Math.max(...ends);
  const reopened = await openSessionStore(folder);
  t.after(() => reopened.close());
  assert.deepEqual(await reopened.get("k"), session(`s${latest}`, latest));
  assert.equal(reopened.count, 1);
});

test("session store: in one process the later end is what is found, too", async (t) => {
  const sessions = await openSessionStore(testFolder(t));
  t.after(() => sessions.close());
  const now = Date.now();
  await sessions.save("k", session("long", now + 2 * HOUR), now + 2 * HOUR);
  await sessions.save("k", session("short", now + HOUR), now + HOUR);
  assert.equal((await sessions.get("k"))?.id, "long");
  await sessions.save("k", session("same", now + 2 * HOUR), now + 2 * HOUR);
  assert.equal((await sessions.get("k"))?.id, "same");
});

test("session store: one that is over makes way for one that ends earlier than it did", async (t) => {
  let now = Date.now();
  const sessions = await openSessionStore(testFolder(t), { wallNow: () => now });
  t.after(() => sessions.close());
  await sessions.save("k", session("old", now + 9 * HOUR), now + HOUR);
  now += HOUR;
  assert.equal(await sessions.get("k"), undefined);
  await sessions.save("k", session("new", now + HOUR), now + HOUR);
  assert.equal((await sessions.get("k"))?.id, "new");
});

test("session store: a session is deleted if it still is the one that failed", async (t) => {
  const folder = testFolder(t);
  const [one, other] = [await openSessionStore(folder), await openSessionStore(folder)];
  t.after(() => [one, other].map((store) => store.close()));
  const now = Date.now();
  await one.save("k", session("stale", now + HOUR), now + HOUR);
  await other.save("k", session("fresh", now + 2 * HOUR), now + 2 * HOUR);
  await one.deleteIf("k", "stale");
  assert.equal((await one.get("k"))?.id, "fresh");
  await one.deleteIf("k", "fresh");
  assert.equal(await one.get("k"), undefined);
  await one.save("k", session("third", now + HOUR), now + HOUR);
  await one.delete("k");
  assert.equal(await one.get("k"), undefined);
  assert.equal(one.count, 0);
});

test("session store: at the limit the one that ends first makes room", async (t) => {
  const sessions = await openSessionStore(testFolder(t), { sessionsMax: 2 });
  t.after(() => sessions.close());
  const now = Date.now();
  await sessions.save("a", session("a", now + 2 * HOUR), now + 2 * HOUR);
  await sessions.save("b", session("b", now + HOUR), now + HOUR);
  assert.equal(sessions.count, 2);
  await sessions.save("b", session("b2", now + HOUR), now + HOUR);
  assert.equal(sessions.count, 2);
  await sessions.save("c", session("c", now + 3 * HOUR), now + 3 * HOUR);
  assert.equal(sessions.count, 2);
  assert.equal(await sessions.get("b"), undefined);
  assert.equal((await sessions.get("a"))?.id, "a");
  assert.equal((await sessions.get("c"))?.id, "c");
});

test("session store: memory holds as many as it may, and the rest are found on the disk", async (t) => {
  const sessions = await openSessionStore(testFolder(t), { cachedMax: 2 });
  t.after(() => sessions.close());
  const end = Date.now() + HOUR;
  for (const key of ["a", "b"]) await sessions.save(key, session(key, end), end);
  assert.ok(!(sessions.get("a") instanceof Promise));
  await sessions.save("c", session("c", end), end);
  assert.equal(sessions.cachedCount, 2);
  assert.ok(!(sessions.get("a") instanceof Promise), "the one used last stays");
  const evicted = sessions.get("b");
  assert.ok(evicted instanceof Promise);
  assert.equal((await evicted)?.id, "b");
});

test("session store: what is to be kept no longer is swept away", async (t) => {
  let now = Date.now();
  const sessions = await openSessionStore(testFolder(t), { wallNow: () => now });
  t.after(() => sessions.close());
  await sessions.save("a", session("a", now + HOUR), now + HOUR);
  await sessions.save("b", session("b", now + 2 * HOUR), now + 2 * HOUR);
  now += HOUR - 1;
  await sessions.sweep();
  assert.equal(sessions.count, 2);
  now += 1;
  await sessions.sweep();
  assert.equal(sessions.count, 1);
  assert.equal(sessions.cachedCount, 1);
});

test("session store: one that lasts a little longer with each answer is written once a minute", async (t) => {
  const folder = testFolder(t);
  const sessions = await openSessionStore(folder);
  t.after(() => sessions.close());
  const end = Date.now() + HOUR;
  const stored = (): number => {
    const database = new Database(join(folder, "access-proxy.db"));
    const [row] = database.prepare("select expires_at from sessions").all() as {
      expires_at: number;
    }[];
    database.close();
    return row?.expires_at ?? 0;
  };
  await sessions.save("k", session("s", end), end);
  assert.equal(sessions.save("k", session("s", end + 59_999), end + 59_999), undefined);
  assert.equal(stored(), end);
  assert.deepEqual(sessions.get("k"), session("s", end + 59_999));
  await sessions.save("k", session("s", end + 60_000), end + 60_000);
  assert.equal(stored(), end + 60_000);
  // Another id is written at once.
  await sessions.save("k", session("t", end + 60_001), end + 60_001);
  assert.equal(stored(), end + 60_001);
});

test("session store: no file shows a session, and with another key there is none", async (t) => {
  const folder = testFolder(t);
  const end = Date.now() + HOUR;
  const first = await openSessionStore(folder);
  await first.save("k", session("canary-canary-canary", end), end);
  for (const name of ["access-proxy.db", "access-proxy.db-wal"]) {
    assert.ok(!readFileSync(join(folder, name), "latin1").includes("canary"), name);
  }
  first.close();
  writeFileSync(join(folder, "access-proxy.key"), `${"A".repeat(43)}\n`);
  const sessions = await openSessionStore(folder);
  t.after(() => sessions.close());
  assert.equal(await sessions.get("k"), undefined);
});

test("session store: a writer waits for another process, and gives up after a while", async (t) => {
  const folder = testFolder(t);
  const sessions = await openSessionStore(folder);
  t.after(() => sessions.close());
  const end = Date.now() + HOUR;
  const other = new Database(join(folder, "access-proxy.db"));
  t.after(() => other.close());
  other.exec("begin immediate");
  const waiting = sessions.save("k", session("s", end), end);
  await new Promise<void>((resolve) => setImmediate(resolve));
  other.exec("commit");
  await waiting;
  assert.equal((await sessions.get("k"))?.id, "s");
  other.exec("begin immediate");
  await assert.rejects(async () => sessions.delete("k"), { code: "ERR_ACCESS_PROXY_STORE_BUSY" });
  other.exec("commit");
  await sessions.delete("k");
  assert.equal(await sessions.get("k"), undefined);
});
