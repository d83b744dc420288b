import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../src/core/clock.ts";
import { InMemorySessionStore } from "../../../src/relay/session-store.ts";
import { FakeSession } from "../../support/fake-session.ts";

function make(): { clock: ManualClock; store: InMemorySessionStore<FakeSession> } {
  const clock = new ManualClock(1_000);
  return { clock, store: new InMemorySessionStore<FakeSession>(clock) };
}

/** Registers `count` sessions of one user and returns them. */
function fill(
  store: InMemorySessionStore<FakeSession>,
  clock: ManualClock,
  count: number,
  userId = "user",
): FakeSession[] {
  return Array.from({ length: count }, (_, index) => {
    const session = new FakeSession(clock, `${userId}-${index}`, `vAc_${userId}-${index}`, userId);
    store.register(session);
    return session;
  });
}

test("generations rise with every registration and outlive the removal", () => {
  const { clock, store } = make();
  const first = new FakeSession(clock, "a");
  const second = new FakeSession(clock, "a");
  assert.equal(first.generation, 0);
  store.register(first);
  store.register(second);
  assert.deepEqual([first.generation, second.generation], [1, 2]);
  store.unregister(second);
  assert.equal(second.generation, 2);
});

test("a handle is registered once", () => {
  const { clock, store } = make();
  const session = new FakeSession(clock, "a");
  store.register(session);
  assert.throws(() => store.register(session), { code: "ERR_ASSERTION" });
});

test("the device's and the token's former sessions both go when they differ", () => {
  const { clock, store } = make();
  const ofDevice = new FakeSession(clock, "a", "vAc_1");
  const ofToken = new FakeSession(clock, "b", "vAc_2");
  store.register(ofDevice);
  store.register(ofToken);
  const newcomer = new FakeSession(clock, "a", "vAc_2");
  assert.equal(store.register(newcomer), 2);
  assert.deepEqual([ofDevice.displaced, ofToken.displaced], [1, 1]);
  assert.equal(store.size, 1);
  assert.equal(store.findDevice("b"), null);
  assert.equal(store.exists("vAc_1"), false);
  assert.equal(store.find("vAc_2"), newcomer);
  assert.equal(store.list().total, 1);
});

test("a device that changes its user changes its listing", () => {
  const { clock, store } = make();
  store.register(new FakeSession(clock, "a", "vAc_1", "alice"));
  store.register(new FakeSession(clock, "a", "vAc_2", "bob"));
  assert.equal(store.list({ userId: "alice" }).total, 0);
  assert.deepEqual(
    store.list({ userId: "bob" }).sessions.map(({ token }) => token),
    ["vAc_2"],
  );
  assert.equal(store.list().total, 1);
});

test("pages: sizes, total, next, and the exact last page", () => {
  const { clock, store } = make();
  fill(store, clock, 25);
  const sizes: number[] = [];
  let cursor: string | undefined;
  do {
    const page = store.list(cursor === undefined ? { limit: 5 } : { limit: 5, cursor });
    assert.equal(page.total, 25);
    sizes.push(page.sessions.length);
    cursor = page.next;
  } while (cursor !== undefined);
  assert.deepEqual(sizes, [5, 5, 5, 5, 5]);
});

test("the default page has 1,000 and the largest 10,000", () => {
  const { clock, store } = make();
  fill(store, clock, 10_001);
  assert.equal(store.list().sessions.length, 1_000);
  assert.equal(store.list({ limit: 10_000 }).sessions.length, 10_000);
  for (const limit of [0, -1, 10_001, 1.5, Number.NaN]) {
    assert.throws(() => store.list({ limit }), { code: "ERR_ASSERTION" });
  }
});

test("a cursor that no listing gave out is refused, or is past the end", () => {
  const { clock, store } = make();
  fill(store, clock, 3);
  for (const cursor of ["", "p", "0", "p-1", "p1.5", "P1", "p1 ", "pzzzzzzzz", "../p1"]) {
    assert.throws(() => store.list({ cursor }), { code: "ERR_SESSION_CURSOR_INVALID" });
  }
  assert.deepEqual(store.list({ cursor: "pzzzzzzz" }), { sessions: [], total: 3 });
});

test("positions of those gone are used again, so that churn does not grow the listing", () => {
  const { clock, store } = make();
  const sessions = fill(store, clock, 10);
  for (let round = 0; round < 1_000; round++) {
    const gone = sessions[round % 10];
    if (gone !== undefined) store.unregister(gone);
    const session = new FakeSession(clock, `churn-${round}`);
    sessions[round % 10] = session;
    store.register(session);
    assert.ok(session.storeSlot < 10);
  }
  assert.equal(store.list().sessions.length, 10);
});

test("a mass expiry can be spread over several calls", () => {
  const { clock, store } = make();
  fill(store, clock, 10);
  clock.advance(1_001);
  assert.equal(store.cleanupExpired(1_000, 4), 4);
  assert.equal(store.cleanupExpired(1_000, 4), 4);
  assert.equal(store.cleanupExpired(1_000, 4), 2);
  assert.equal(store.cleanupExpired(1_000, 4), 0);
});

test("a handle that beat without telling the store lives, and is found when its time comes", () => {
  const { clock, store } = make();
  const [early, silent, late] = fill(store, clock, 3);
  assert.ok(early && silent && late);
  clock.advance(500);
  early.recordHeartbeat(clock.now());
  clock.advance(100);
  store.touch(late);
  clock.advance(500);
  assert.equal(store.cleanupExpired(1_000), 1);
  assert.equal(silent.closed, 1);
  // early beat at 500, late at 600; at 1,550 only early is too old.
  clock.advance(450);
  assert.equal(store.cleanupExpired(1_000), 1);
  assert.equal(early.closed, 1);
  assert.equal(store.size, 1);
});

test("a touch of a handle that is no longer registered records the time and nothing else", () => {
  const { clock, store } = make();
  const [session] = fill(store, clock, 1);
  assert.ok(session);
  store.unregister(session);
  clock.advance(5);
  store.touch(session);
  assert.equal(session.lastHeartbeatAt, 1_005);
  clock.advance(10_000);
  assert.equal(store.cleanupExpired(1), 0);
});

test("what a close throws is heard by the one who wants to", () => {
  const clock = new ManualClock();
  const heard: unknown[] = [];
  const store = new InMemorySessionStore<FakeSession>(clock, {
    onCloseError: (handle, error) => heard.push([handle.deviceId, error]),
  });
  const session = new FakeSession(clock, "a");
  const failure = new Error("broken");
  session.onEnd = () => {
    throw failure;
  };
  store.register(session);
  store.register(new FakeSession(clock, "a"));
  assert.deepEqual(heard, [["a", failure]]);
});

test("closing may call back into the store", () => {
  const { clock, store } = make();
  const sessions = fill(store, clock, 4);
  for (const session of sessions) {
    session.onEnd = () => {
      assert.equal(store.unregister(session), false);
      if (session.deviceId === "user-0") store.register(new FakeSession(clock, "user-1"));
      if (session.deviceId === "user-2") store.heartbeat("vAc_user-3");
    };
  }
  clock.advance(2_000);
  // user-0 expires, and in its close a new connection of user-1 takes over; user-2 expires, and user-3 beats.
  assert.equal(store.cleanupExpired(1_000), 2);
  assert.deepEqual(
    sessions.map(({ closed, displaced }) => [closed, displaced]),
    [
      [1, 0],
      [0, 1],
      [1, 0],
      [0, 0],
    ],
  );
  assert.equal(store.size, 2);
});

test("handles() meets every session while they are being removed", () => {
  const { clock, store } = make();
  fill(store, clock, 5);
  let met = 0;
  for (const session of store.handles()) {
    met += 1;
    store.unregister(session);
  }
  assert.equal(met, 5);
  assert.equal(store.size, 0);
});
