import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AuthFailures } from "../../../src/api/auth-failures.ts";
import { ManualClock } from "../../../src/core/clock.ts";

function make(addressesMax = 10): { failures: AuthFailures; clock: ManualClock } {
  const clock = new ManualClock();
  const limits = { failuresMax: 60, windowMs: 600_000, addressesMax };
  return { failures: new AuthFailures(limits, clock), clock };
}

function fail(failures: AuthFailures, address: string, times: number): void {
  for (let count = 0; count < times; count++) failures.failed(address);
}

describe("AuthFailures", () => {
  it("stops at the limit, until the window that began with the first failure ends", () => {
    const { failures, clock } = make();
    fail(failures, "192.0.2.1", 59);
    assert.equal(failures.retryAfter("192.0.2.1"), 0);
    clock.advance(100_000);
    fail(failures, "192.0.2.1", 1);
    assert.equal(failures.retryAfter("192.0.2.1"), 500);
    assert.equal(failures.retryAfter("192.0.2.2"), 0);
    clock.advance(499_999);
    assert.equal(failures.retryAfter("192.0.2.1"), 1);
    clock.advance(1);
    assert.equal(failures.retryAfter("192.0.2.1"), 0);
    fail(failures, "192.0.2.1", 1);
    assert.equal(failures.retryAfter("192.0.2.1"), 0);
  });

  it("counts IPv6 by its first 64 bits", () => {
    const { failures } = make();
    for (let host = 1; host <= 60; host++) failures.failed(`2001:db8::${host.toString(16)}`);
    assert.ok(failures.retryAfter("2001:db8:0:0:ffff::1") > 0);
    assert.equal(failures.retryAfter("2001:db8:0:1::1"), 0);
    fail(failures, "::1", 60);
    assert.ok(failures.retryAfter("::1") > 0);
  });

  it("remembers a bounded number of addresses, and forgets the oldest", () => {
    const { failures } = make(1_000);
    fail(failures, "192.0.2.1", 60);
    for (let index = 0; index < 1_000_000; index++) {
      failures.failed(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`);
      if (index === 998) assert.ok(failures.retryAfter("192.0.2.1") > 0);
    }
    assert.equal(failures.size, 1_000);
    assert.equal(failures.retryAfter("192.0.2.1"), 0);
  });

  it("forgets windows that are over", () => {
    const { failures, clock } = make();
    for (const host of [1, 2, 3]) failures.failed(`192.0.2.${host}`);
    clock.advance(600_000);
    failures.failed("192.0.2.9");
    assert.equal(failures.size, 1);
  });
});
