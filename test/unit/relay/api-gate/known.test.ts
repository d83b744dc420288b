import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../../src/core/clock.ts";
import { BoundedMap } from "../../../../src/relay/api-gate/bounded-map.ts";
import { KnownDevices } from "../../../../src/relay/api-gate/known-devices.ts";
import { type KeyFacts, KnownKey, KnownKeys } from "../../../../src/relay/api-gate/known-keys.ts";
import { Refusals } from "../../../../src/relay/api-gate/refusals.ts";
import { UNAUTHORIZED } from "../../../../src/relay/api-gate/verdicts.ts";
import type { Caller, Verdict } from "../../../../src/relay/ports.ts";

const NEVER = Number.POSITIVE_INFINITY;

function key(ref: string, extras: Partial<KeyFacts> & { used?: boolean } = {}): KnownKey {
  const { used = false, ...facts } = extras;
  const known = new KnownKey(
    {
      text: `text of ${ref}`,
      ref,
      digest: "d",
      userId: "u",
      tenantId: "t",
      devices: null,
      limit: null,
      expiresAt: NEVER,
      checkedAt: 0,
      ...facts,
    },
    (deviceId) => (deviceId === "nobody's" ? null : deviceId.slice(0, 1)),
  );
  known.used = used;
  return known;
}

test("bounded map: what was set longest ago makes room, and is told", () => {
  const evicted: number[] = [];
  const map = new BoundedMap<string, number>(2, (value) => evicted.push(value));
  map.set("a", 1);
  map.set("b", 2);
  map.set("a", 3);
  map.set("c", 4);
  assert.deepEqual(
    [...map.entries()],
    [
      ["a", 3],
      ["c", 4],
    ],
  );
  assert.deepEqual(evicted, [2]);
  map.delete("a");
  map.set("d", 5);
  assert.deepEqual([map.size, evicted.length], [2, 1]);
});

test("known keys: at the limit the longest known is forgotten, by its text and its reference", () => {
  const keys = new KnownKeys(2);
  for (const ref of ["a", "b", "c"]) keys.put(key(ref));
  assert.equal(keys.size, 2);
  assert.equal(keys.find("text of a"), undefined);
  keys.forget("a");
  keys.forget("b");
  assert.equal(keys.find("text of b"), undefined);
  assert.equal(keys.find("text of c")?.keyId, "c");
});

test("known keys: a second secret under a reference replaces the first", () => {
  const keys = new KnownKeys(5);
  keys.put(key("a"));
  keys.put(key("a", { text: "other" }));
  assert.equal(keys.find("text of a"), undefined);
  assert.equal(keys.size, 1);
});

test("known keys: a sweep drops the expired, returns those in use and marks the others", () => {
  const keys = new KnownKeys(10);
  keys.put(key("expired", { expiresAt: 1_000 }));
  keys.put(key("used", { used: true }));
  keys.put(key("used too", { used: true }));
  keys.put(key("rested"));
  keys.put(key("fresh", { checkedAt: 50, used: true }));
  const { expired, ask } = keys.sweep(1_000, 40, 1);
  assert.deepEqual(expired, ["expired"]);
  assert.deepEqual(
    ask.map(({ keyId }) => keyId),
    ["used"],
  );
  assert.equal(keys.find("text of expired"), undefined);
  const current = ["used", "used too", "rested", "fresh"].map(
    (ref) => keys.find(`text of ${ref}`)?.current,
  );
  assert.deepEqual(current, [true, true, false, true]);
});

test("known key: a caller who reaches the devices of his tenant, or those of them that the key names", () => {
  const reach = (devices: ReadonlySet<string> | null): boolean[] => {
    const verdict: Verdict<Caller> = key("a", { devices });
    assert.ok(verdict.ok);
    return ["t1", "t2", "other", "nobody's"].map((id) => verdict.value.allows(id));
  };
  assert.deepEqual(reach(null), [true, true, false, false]);
  assert.deepEqual(reach(new Set(["t2", "other", "nobody's"])), [false, true, false, false]);
});

test("known devices: a confirmed token and its device are not the first to be forgotten", () => {
  const known = new KnownDevices(2, 2);
  const token = (name: string) => ({
    digest: "d",
    identity: { deviceId: `device ${name}`, tokenRef: name, userId: "u" },
    tenantId: "t",
    expiresAt: NEVER,
    checkedAt: 0,
  });
  known.putToken(token("a"));
  known.putToken(token("b"));
  known.confirm("a", 60);
  known.confirm("nobody", 60);
  known.putToken(token("c"));
  assert.deepEqual([known.tokens, known.devices], [2, 2]);
  assert.equal(known.token("a")?.checkedAt, 60);
  assert.equal(known.tenantOf("device a"), "t");
  assert.equal(known.token("b"), undefined);
  assert.equal(known.tenantOf("device b"), null);
});

test("known devices: a confirmed token does not bring back whose its device was", () => {
  const known = new KnownDevices(2, 2);
  const identity = { deviceId: "device", tokenRef: "a", userId: "u" };
  known.putToken({ digest: "d", identity, tenantId: "t1", expiresAt: NEVER, checkedAt: 0 });
  known.forgetDevice("device");
  known.confirm("a", 60);
  assert.equal(known.tenantOf("device"), null);
  known.putDevice("device", { tenantId: "t2", checkedAt: 61 });
  known.confirm("a", 120);
  assert.equal(known.tenantOf("device"), "t2");
});

test("refusals: remembered for their time and up to a limit, those of a limit not at all", () => {
  const clock = new ManualClock();
  const refusals = new Refusals(clock, 2, 10_000);
  for (const name of ["a", "b", "c"]) refusals.add(name, UNAUTHORIZED);
  assert.deepEqual([refusals.size, refusals.find("a")], [2, null]);
  clock.advance(9_999);
  assert.equal(refusals.find("c"), UNAUTHORIZED);
  clock.advance(1);
  assert.equal(refusals.find("c"), null);
  const limited = { ok: false, status: 429, code: "ERR_RELAY_LIMITED", retryAfter: 1 } as const;
  assert.equal(refusals.add("d", limited), limited);
  assert.equal(refusals.find("d"), null);
});
