import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../src/core/clock.ts";
import { addressPrefix, HandshakeGuard } from "../../../src/relay/handshake-guard.ts";

function make(perSecond = 1_000, failuresPerMinute = 5, addressesMax = 1_000) {
  const clock = new ManualClock(10_000);
  const guard = new HandshakeGuard(clock, {
    handshakesPerSecondMax: perSecond,
    failedHandshakesPerMinuteMax: failuresPerMinute,
    addressesMax,
  });
  return { clock, guard };
}

test("as many handshakes as the limit go on in a second, and one more does not", () => {
  const { clock, guard } = make(10);
  for (let count = 0; count < 10; count++) assert.equal(guard.admit("192.0.2.1").ok, true);
  assert.deepEqual(guard.admit("192.0.2.1"), {
    ok: false,
    status: 503,
    code: "ERR_RELAY_OVERLOADED",
    retryAfter: 1,
  });
  clock.advance(100);
  assert.equal(guard.admit("192.0.2.1").ok, true);
  assert.equal(guard.admit("192.0.2.2").ok, false);
});

test("those refused are told to come in different seconds, and all of them get in", () => {
  const { clock, guard } = make(100);
  for (let count = 0; count < 100; count++) guard.admit("192.0.2.1");
  const comingAt = new Map<number, number>();
  for (let count = 0; count < 350; count++) {
    const admission = guard.admit("192.0.2.1");
    assert.ok(!admission.ok);
    comingAt.set(admission.retryAfter, (comingAt.get(admission.retryAfter) ?? 0) + 1);
  }
  assert.deepEqual(
    [...comingAt],
    [
      [1, 100],
      [2, 100],
      [3, 100],
      [4, 50],
    ],
  );
  for (const [, coming] of comingAt) {
    clock.advance(1_000);
    for (let count = 0; count < coming; count++) assert.equal(guard.admit("192.0.2.1").ok, true);
  }
});

test("nobody is sent away for more than a minute", () => {
  const { guard } = make(1);
  guard.admit("192.0.2.1");
  let longest = 0;
  for (let count = 0; count < 10_000; count++) {
    const admission = guard.admit("192.0.2.1");
    if (!admission.ok) longest = Math.max(longest, admission.retryAfter);
  }
  assert.equal(longest, 60);
});

for (const limit of [1, 5, 7, 60]) {
  test(`an address may fail ${limit} times a minute, and not once more`, () => {
    const { clock, guard } = make(1_000, limit);
    for (let count = 0; count < limit; count++) {
      assert.equal(guard.admit("192.0.2.1").ok, true);
      guard.recordFailure("192.0.2.1");
    }
    const retryAfter = Math.ceil(60 / limit);
    const refused = { ok: false, status: 429, code: "ERR_RELAY_LIMITED", retryAfter };
    assert.deepEqual(guard.admit("192.0.2.1"), refused);
    assert.equal(guard.admit("192.0.2.2").ok, true, "others are not concerned");
    clock.advance(retryAfter * 1_000);
    assert.equal(guard.admit("192.0.2.1").ok, true);
    clock.advance(60_000);
    for (let count = 0; count < limit; count++) {
      assert.equal(guard.admit("192.0.2.1").ok, true);
      guard.recordFailure("192.0.2.1");
    }
    assert.equal(guard.admit("192.0.2.1").ok, false);
  });
}

test("failures recorded late, of handshakes already under way, do not add to the wait", () => {
  const { guard } = make(1_000, 5);
  for (let count = 0; count < 500; count++) guard.recordFailure("192.0.2.1");
  const admission = guard.admit("192.0.2.1");
  assert.ok(!admission.ok);
  assert.equal(admission.retryAfter, 12);
});

test("successful handshakes of one address are not limited by it", () => {
  const { guard } = make(5_000, 1);
  for (let count = 0; count < 5_000; count++) assert.equal(guard.admit("192.0.2.1").ok, true);
});

test("200,000 failing addresses are held in a bounded table; the longest quiet is forgotten", () => {
  const { clock, guard } = make(1_000, 1, 1_000);
  guard.recordFailure("first");
  for (let count = 0; count < 200_000; count++) guard.recordFailure(`address-${count}`);
  assert.equal(guard.addresses, 1_000);
  assert.equal(guard.admit("address-199999").ok, false);
  assert.equal(guard.admit("first").ok, true);
  clock.advance(60_001);
  guard.recordFailure("192.0.2.1");
  assert.equal(guard.addresses, 1, "what is paid off goes first");
});

test("an IPv6 address counts by its /64", () => {
  const { guard } = make(1_000, 2);
  guard.recordFailure("2001:db8:0:1::1");
  guard.recordFailure("2001:0db8:0000:0001:ffff:ffff:ffff:ffff");
  assert.equal(guard.admit("2001:db8:0:1:abcd::2").ok, false);
  assert.equal(guard.admit("2001:db8:0:2::1").ok, true);
});

for (const [address, prefix] of [
  ["192.0.2.1", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["0000:0000:0000:0000:0000:ffff:c000:0201", "192.0.2.1"],
  ["::1", "0:0:0:0::/64"],
  ["::", "0:0:0:0::/64"],
  ["2001:db8::1", "2001:db8:0:0::/64"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["1::", "1:0:0:0::/64"],
  ["64:ff9b::192.0.2.1", "64:ff9b:0:0::/64"],
  ["unix", "unix"],
  ["", ""],
] as const) {
  test(`addressPrefix("${address}")`, () => assert.equal(addressPrefix(address), prefix));
}
