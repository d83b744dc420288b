/**
 * The session store's rules, one test a row: what is kept (K) of the system that Hawser succeeds, what is fixed (F)
 * and what is added (A).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../src/core/clock.ts";
import { DeviceFights } from "../../../src/relay/device-fights.ts";
import { InMemorySessionStore } from "../../../src/relay/session-store.ts";
import { FakeSession } from "../../support/fake-session.ts";

function make(): { clock: ManualClock; store: InMemorySessionStore<FakeSession> } {
  const clock = new ManualClock(50_000);
  return { clock, store: new InMemorySessionStore<FakeSession>(clock) };
}

test("K5 a later connection of the device replaces the earlier, under whichever of its tokens", () => {
  const { clock, store } = make();
  const first = new FakeSession(clock, "device", "vAc_old");
  const sameToken = new FakeSession(clock, "device", "vAc_old");
  const otherToken = new FakeSession(clock, "device", "vAc_new");
  assert.equal(store.register(first), 0);
  assert.equal(store.register(sameToken), 1);
  assert.equal(store.lookup("vAc_old"), sameToken);
  assert.equal(store.register(otherToken), 1);
  assert.equal(store.findDevice("device"), otherToken);
  assert.equal(store.lookup("vAc_new"), otherToken);
  assert.equal(store.exists("vAc_old"), false);
  assert.deepEqual([first.displaced, sameToken.displaced, otherToken.displaced], [1, 1, 0]);
});

test("K5 an error in closing the earlier one does not matter", () => {
  const { clock, store } = make();
  const first = new FakeSession(clock, "device");
  const second = new FakeSession(clock, "device");
  first.onEnd = () => {
    throw new Error("already gone");
  };
  store.register(first);
  assert.equal(store.register(second), 1);
  assert.equal(store.findDevice("device"), second);
});

test("K6 unregister removes without closing; absent, it is a no-op", () => {
  const { clock, store } = make();
  const session = new FakeSession(clock, "device");
  assert.equal(store.unregister(session), false);
  store.register(session);
  assert.equal(store.unregister(session), true);
  assert.equal(store.unregister(session), false);
  assert.equal(store.exists(session.tokenRef), false);
  assert.deepEqual([session.closed, session.displaced], [0, 0]);
});

test("F1 the late clean-up of a replaced connection leaves its successor", () => {
  const { clock, store } = make();
  const first = new FakeSession(clock, "device");
  const second = new FakeSession(clock, "device");
  store.register(first);
  store.register(second);
  assert.equal(store.unregister(first), false);
  assert.equal(store.lookup(second.tokenRef), second);
  assert.equal(store.list().total, 1);
  assert.ok(second.generation > first.generation);
});

test("K7 lookup gives the handle, or throws that there is no such session", () => {
  const { clock, store } = make();
  const session = new FakeSession(clock, "device", "vAc_1");
  store.register(session);
  assert.equal(store.lookup("vAc_1"), session);
  assert.throws(() => store.lookup("vAc_2"), { code: "ERR_SESSION_NOT_FOUND" });
  assert.throws(() => store.lookup(""), { code: "ERR_SESSION_NOT_FOUND" });
});

test("K8 exists", () => {
  const { clock, store } = make();
  store.register(new FakeSession(clock, "device", "vAc_1"));
  assert.equal(store.exists("vAc_1"), true);
  assert.equal(store.exists("vAc_2"), false);
});

test("K9 list gives copies, and an empty list where there is nothing", () => {
  const { clock, store } = make();
  assert.deepEqual(store.list(), { sessions: [], total: 0 });
  assert.deepEqual(store.list({ userId: "nobody" }), { sessions: [], total: 0 });
  const session = new FakeSession(clock, "device");
  store.register(session);
  const [copy] = store.list().sessions;
  assert.deepEqual(copy, session.shared);
  assert.notEqual(copy, session.shared);
});

test("K10 heartbeat records the time now; absent, it throws that there is no such session", () => {
  const { clock, store } = make();
  const session = new FakeSession(clock, "device", "vAc_1");
  store.register(session);
  clock.advance(77);
  store.heartbeat("vAc_1");
  assert.equal(session.lastHeartbeatAt, 50_077);
  assert.throws(() => store.heartbeat("vAc_2"), { code: "ERR_SESSION_NOT_FOUND" });
});

test("K11 cleanupExpired closes and removes what is older, and only that", () => {
  const { clock, store } = make();
  const old = new FakeSession(clock, "old");
  store.register(old);
  clock.advance(1);
  const onTheLine = new FakeSession(clock, "line");
  store.register(onTheLine);
  clock.advance(1_000);
  assert.equal(store.cleanupExpired(1_000), 1);
  assert.deepEqual([old.closed, onTheLine.closed], [1, 0]);
  assert.equal(store.exists(old.tokenRef), false);
  assert.equal(store.exists(onTheLine.tokenRef), true);
});

test("K11 a session that beats between being found and being removed lives", () => {
  const { clock, store } = make();
  const first = new FakeSession(clock, "first");
  const second = new FakeSession(clock, "second");
  const third = new FakeSession(clock, "third");
  for (const session of [first, second, third]) store.register(session);
  // All three are past their time; while the first is closed, the second beats through the store, the third without.
  first.onEnd = () => {
    store.heartbeat(second.tokenRef);
    third.recordHeartbeat(clock.now());
  };
  clock.advance(5_000);
  assert.equal(store.cleanupExpired(1_000), 1);
  assert.deepEqual([first.closed, second.closed, third.closed], [1, 0, 0]);
  assert.equal(store.size, 2);
});

test("F2 cleanupExpired costs in proportion to what expires, not to what is alive", () => {
  const clock = new ManualClock();
  const store = new InMemorySessionStore<FakeSession>(clock);
  const sessions: FakeSession[] = [];
  for (let count = 0; count < 20_000; count++) {
    const session = new FakeSession(clock, `device-${count}`);
    sessions.push(session);
    store.register(session);
  }
  clock.advance(10_000);
  for (const session of sessions.slice(3)) store.touch(session);
  for (const session of sessions) session.looks = 0;
  assert.equal(store.cleanupExpired(5_000), 3);
  const looks = sessions.reduce((sum, session) => sum + session.looks, 0);
  assert.ok(looks >= 3 && looks <= 10, `${looks} looks at handles to expire 3 of 20,000`);
});

test("F3 closing the earlier one comes after the registration, and cannot hold it up", () => {
  const { clock, store } = make();
  const first = new FakeSession(clock, "device");
  const second = new FakeSession(clock, "device");
  let seen: FakeSession | null = null;
  first.onEnd = () => {
    seen = store.findDevice("device");
    assert.equal(store.lookup(second.tokenRef), second);
    assert.equal(store.list().total, 1);
  };
  store.register(first);
  store.register(second);
  assert.equal(seen, second);
});

test("F4 every registered handle expires, whatever its summary says", () => {
  const { clock, store } = make();
  const session = new FakeSession(clock, "device");
  session.summary = () => assert.fail("expiry does not ask for the summary");
  store.register(session);
  clock.advance(1_001);
  assert.equal(store.cleanupExpired(1_000), 1);
  assert.equal(session.closed, 1);
});

test("A2 a replaced tunnel is displaced, not closed, and is out of every look-up at once", () => {
  const { clock, store } = make();
  const first = new FakeSession(clock, "device", "vAc_1");
  const second = new FakeSession(clock, "device", "vAc_2");
  store.register(first);
  store.register(second);
  assert.deepEqual([first.displaced, first.closed], [1, 0]);
  assert.equal(store.find("vAc_1"), null);
  clock.advance(1_000_000);
  store.touch(second);
  assert.equal(store.cleanupExpired(1_000), 0, "its own grace ends it, not the store");
});

test("A2 more than 5 replacements a minute of one device show, and are slowed down", () => {
  const clock = new ManualClock();
  const fights = new DeviceFights(clock);
  const shown: number[] = [];
  for (let count = 1; count <= 6; count++) {
    assert.equal(fights.delayMs("device"), 0);
    const fight = fights.recordReplacement("device");
    if (fight !== null) shown.push(fight.replacements);
    clock.advance(1_000 - (count === 6 ? 1 : 0));
  }
  assert.deepEqual(shown, [6]);
  assert.equal(fights.delayMs("device"), 1);
  assert.equal(fights.delayMs("other"), 0);
});

test("A4 a walk over the pages meets who stays exactly once, whoever comes, goes and reconnects", () => {
  const { clock, store } = make();
  const staying: FakeSession[] = [];
  const leaving: FakeSession[] = [];
  for (let count = 0; count < 3_000; count++) {
    const list = count % 2 === 0 ? staying : leaving;
    const session = new FakeSession(clock, `device-${count}`, `vAc_${count}`, "fleet");
    list.push(session);
    store.register(session);
  }
  const met = new Map<string, number>();
  let cursor: string | undefined;
  let newcomers = 0;
  do {
    const query = { limit: 100, userId: "fleet" };
    const page = store.list(cursor === undefined ? query : { ...query, cursor });
    for (const { device_id } of page.sessions) met.set(device_id, (met.get(device_id) ?? 0) + 1);
    cursor = page.next;
    for (let count = 0; count < 40; count++) {
      const gone = leaving.pop();
      if (gone !== undefined) store.unregister(gone);
      newcomers += 1;
      store.register(new FakeSession(clock, `new-${newcomers}`, `vAc_n${newcomers}`, "fleet"));
      const reconnecting = `device-${(newcomers * 74) % 3_000}`;
      if (store.findDevice(reconnecting) !== null) {
        store.register(new FakeSession(clock, reconnecting, `vAc_r${newcomers}`, "fleet"));
      }
    }
  } while (cursor !== undefined);
  for (const { deviceId } of staying) assert.equal(met.get(deviceId), 1, deviceId);
});

test("A4 a page of 100,000 sessions costs as much as one of few", () => {
  const clock = new ManualClock();
  const store = new InMemorySessionStore<FakeSession>(clock);
  const sessions: FakeSession[] = [];
  for (let count = 0; count < 100_000; count++) {
    const session = new FakeSession(clock, `device-${count}`, `vAc_${count}`, `u${count % 7}`);
    sessions.push(session);
    store.register(session);
  }
  for (const query of [{ limit: 50 }, { limit: 50, userId: "u3" }]) {
    for (const session of sessions) session.looks = 0;
    const page = store.list(query);
    assert.equal(page.sessions.length, 50);
    assert.ok(page.next !== undefined);
    const looks = sessions.reduce((sum, session) => sum + session.looks, 0);
    assert.equal(looks, 50);
  }
  assert.equal(store.list({ limit: 1 }).total, 100_000);
  assert.equal(store.list({ limit: 1, userId: "u0" }).total, 14_286);
});
