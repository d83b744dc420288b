import assert from "node:assert/strict";
import test from "node:test";
import { PrincipalLimits, REQUEST_RATES } from "../../../../src/api/bearer/index.ts";
import type { Principal } from "../../../../src/api/index.ts";
import { ManualClock } from "../../../../src/core/clock.ts";

const RATES = { session: 120, key: 60, service: 60, device: 6 };

function caller(over: Partial<Principal> = {}): Principal {
  const role = "member" as const;
  const scopes = new Set<string>();
  return { kind: "key", ref: "hwk_00000001", tenantId: "t1", userId: "u1", role, scopes, ...over };
}

function limits(over: { callersMax?: number } = {}) {
  const clock = new ManualClock(1_000_000);
  const gate = new PrincipalLimits({ now: () => clock.now(), rates: RATES, ...over });
  const taken = (count: number, principal = caller()): number =>
    Array.from({ length: count }, () => gate.pass(principal)).filter((one) => one.retryAfter === 0)
      .length;
  return { clock, gate, taken };
}

test("request limit: a minute's requests may come at once, then they come at the rate", () => {
  const { clock, taken } = limits();
  assert.equal(taken(100), 60);
  clock.advance(999);
  assert.equal(taken(1), 0);
  clock.advance(1);
  assert.equal(taken(2), 1);
  clock.advance(600_000);
  assert.equal(taken(100), 60);
});

test("request limit: refused ones do not count, and are told when to come again", () => {
  const { clock, gate, taken } = limits();
  taken(60);
  for (let count = 0; count < 10; count++) assert.equal(gate.pass(caller()).retryAfter, 1);
  clock.advance(1_000);
  assert.equal(taken(2), 1);
  const device = caller({ kind: "device", ref: "vAc_00000001" });
  taken(6, device);
  assert.equal(gate.pass(device).retryAfter, 10);
});

test("request limit: every answer says the limit, what is left, and when all is back", () => {
  const { clock, gate, taken } = limits();
  assert.deepEqual(gate.pass(caller()).headers, {
    "ratelimit-limit": "60",
    "ratelimit-remaining": "59",
    "ratelimit-reset": "1",
  });
  taken(59);
  assert.deepEqual(gate.pass(caller()).headers, {
    "ratelimit-limit": "60",
    "ratelimit-remaining": "0",
    "ratelimit-reset": "60",
  });
  clock.advance(30_000);
  assert.equal(gate.pass(caller()).headers["ratelimit-remaining"], "29");
});

test("request limit: callers of one reference in two tenants, or of two kinds, are counted apart", () => {
  const { taken } = limits();
  assert.equal(taken(100), 60);
  assert.equal(taken(100, caller({ tenantId: "t2" })), 60);
  assert.equal(taken(1_000, caller({ kind: "session" })), 120);
  assert.equal(taken(100, caller({ tenantId: "t1\0key", ref: "hwk_00000001" })), 60);
  assert.equal(taken(1), 0);
});

test("request limit: a key's own limit takes the place of the default, below it and above", () => {
  const { taken } = limits();
  assert.equal(taken(100, caller({ requestsPerMinute: 3 })), 3);
  assert.equal(taken(100, caller({ ref: "hwk_00000002", requestsPerMinute: 90 })), 90);
});

test("request limit: a lower limit holds at once for a bucket that was filled by a higher one", () => {
  const { taken } = limits();
  taken(1, caller({ requestsPerMinute: 1_000 }));
  assert.equal(taken(100, caller({ requestsPerMinute: 5 })), 5);
});

test("request limit: the relay is not counted", () => {
  const { gate, taken } = limits();
  const relay = caller({ kind: "internal", tenantId: "", ref: "internal" });
  assert.equal(taken(10_000, relay), 10_000);
  assert.equal(gate.size, 0);
});

test("request limit: as many callers are counted as may be, the silent ones forgotten first", () => {
  const { gate, taken } = limits({ callersMax: 3 });
  const each = (name: string) => caller({ ref: name });
  for (const name of ["a", "b", "c"]) taken(60, each(name));
  assert.equal(taken(1, each("a")), 0);
  taken(60, each("d"));
  assert.equal(gate.size, 3);
  assert.equal(taken(1, each("a")), 0, "a was heard of since");
  assert.equal(taken(60, each("b")), 60, "b was forgotten");
});

test("request limit: a clock that is set back neither fills nor empties", () => {
  const clock = { at: 1_000_000 };
  const gate = new PrincipalLimits({ now: () => clock.at, rates: RATES });
  for (let count = 0; count < 30; count++) gate.pass(caller());
  clock.at = 0;
  assert.equal(gate.pass(caller()).headers["ratelimit-remaining"], "29");
  clock.at = 1_000;
  assert.equal(gate.pass(caller()).headers["ratelimit-remaining"], "29");
});

test("request limit: the defaults are 600 a minute for keys and 1,200 for sessions", () => {
  assert.equal(REQUEST_RATES.key, 600);
  assert.equal(REQUEST_RATES.session, 1_200);
});

test("request limit: the fields as they stand in a head are those by name", () => {
  const { clock, gate } = limits();
  const day = 24 * 60 * 60_000;
  for (const principal of [caller(), caller({ expiresAtMs: clock.now() + day }), caller()]) {
    const { headers, lines } = gate.pass(principal);
    const texts = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    assert.equal(lines, texts.join(""));
    assert.equal("x-hawser-key-expires" in headers, principal.expiresAtMs !== undefined);
  }
});

test("request limit: a caller that was forgotten begins anew, also as the same object", () => {
  const { gate, taken } = limits({ callersMax: 1 });
  const same = caller();
  assert.equal(taken(100, same), 60);
  taken(1, caller({ ref: "other" }));
  assert.equal(taken(100, same), 60);
  assert.equal(gate.size, 1);
});
