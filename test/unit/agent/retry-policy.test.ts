import assert from "node:assert/strict";
import { test } from "node:test";
import { AGENT_DEFAULTS } from "../../../src/agent/options.ts";
import { RetryPolicy } from "../../../src/agent/retry-policy.ts";
import { describeLoss } from "../../../src/agent/state-lines.ts";
import type { TunnelEnd } from "../../../src/agent/tunnel-end.ts";

function unreachable(code = "ECONNREFUSED", tls = false): TunnelEnd {
  return { kind: "unreachable", code, tls };
}
function rejected(status: number, retryAfterMs: number | null = null): TunnelEnd {
  return { kind: "rejected", status, retryAfterMs };
}
function closed(closeCode: number, protocol = false): TunnelEnd {
  return { kind: "closed", closeCode, error: "ERR_MUX_SESSION_CLOSED", protocol };
}

/** A policy whose jitter is at its upper end. */
function longest(): RetryPolicy {
  return new RetryPolicy(AGENT_DEFAULTS, () => 1);
}

// With random() = 1: the first back-off is 500 ms, and times given as "around" are 120 %.
const FIRST: readonly [string, TunnelEnd, string, number, string][] = [
  ["refused connection", unreachable(), "unreachable", 500, "ECONNREFUSED"],
  ["bad certificate", unreachable("CERT_HAS_EXPIRED", true), "tls", 500, "CERT_HAS_EXPIRED"],
  ["401", rejected(401), "token_refused", 72_000, "HTTP_401"],
  ["403", rejected(403), "token_refused", 72_000, "HTTP_403"],
  ["401 with a longer Retry-After", rejected(401, 90_000), "token_refused", 90_000, "HTTP_401"],
  ["429 with Retry-After", rejected(429, 7_000), "limited", 7_500, "HTTP_429"],
  ["503 with Retry-After", rejected(503, 20_000), "limited", 20_500, "HTTP_503"],
  ["503 without", rejected(503), "limited", 500, "HTTP_503"],
  ["Retry-After of a year", rejected(503, 31_536_000_000), "limited", 3_600_500, "HTTP_503"],
  ["404", rejected(404), "rejected", 500, "HTTP_404"],
  ["close 4403", closed(4403), "revoked", 72_000, "WS_4403"],
  ["close 4409", closed(4409), "displaced", 72_000, "WS_4409"],
  ["close 4410", closed(4410), "disconnected", 500, "WS_4410"],
  ["close 1001", closed(1001), "restarting", 500, "WS_1001"],
  ["close 1012", closed(1012), "restarting", 500, "WS_1012"],
  ["close 1013", closed(1013), "restarting", 500, "WS_1013"],
  ["close 1002", closed(1002), "protocol", 500, "WS_1002"],
  ["close 1008", closed(1008), "protocol", 500, "WS_1008"],
  ["our own protocol error", closed(0, true), "protocol", 500, "ERR_MUX_SESSION_CLOSED"],
  ["cut", closed(1006), "lost", 500, "WS_1006"],
  ["close 1000", closed(1000), "lost", 500, "WS_1000"],
];

for (const [name, end, cause, delayMs, code] of FIRST) {
  test(`${name}: ${cause}, next dial after ${delayMs} ms`, () => {
    const plan = longest().plan(end, 0);
    assert.deepEqual({ ...plan, delayMs: Math.round(plan.delayMs) }, { cause, delayMs });
    const line = describeLoss(end, plan.cause);
    assert.equal(line.code, code);
    assert.ok(line.text.includes(code));
  });
}

test("failures in a row back off to 30 s and stay there", () => {
  const policy = longest();
  const delays = Array.from({ length: 8 }, () => policy.plan(unreachable(), 0).delayMs);
  assert.deepEqual(delays, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

test("only a tunnel that lived for the stable while ends the back-off", () => {
  const policy = longest();
  policy.plan(unreachable(), 0);
  policy.plan(unreachable(), 0);
  assert.equal(policy.plan(closed(1006), 29_999).delayMs, 2_000);
  assert.equal(policy.plan(closed(1006), 30_000).delayMs, 500);
});

test("a device that is displaced again and again waits longer each time, up to ten minutes", () => {
  const policy = longest();
  const delays = Array.from({ length: 6 }, () =>
    Math.round(policy.plan(closed(4409), 0).delayMs / 1.2),
  );
  assert.deepEqual(delays, [60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
  assert.equal(
    Math.round(policy.plan(closed(4409), 30_000).delayMs),
    72_000,
    "a stable while ends that too",
  );
});

test("jitter never goes below Retry-After, nor the slow retries below 80 %", () => {
  const policy = new RetryPolicy(AGENT_DEFAULTS, () => 0);
  assert.equal(policy.plan(rejected(503, 5_000), 0).delayMs, 5_000);
  assert.equal(policy.plan(rejected(401), 0).delayMs, 48_000);
  assert.equal(policy.plan(closed(4409), 0).delayMs, 48_000);
});

test("go away after a stable while dials at once, right after a handshake with back-off", () => {
  const policy = longest();
  assert.equal(policy.goAwayDelayMs(30_000), 0);
  assert.equal(policy.goAwayDelayMs(10), 500);
  assert.equal(policy.goAwayDelayMs(10), 1_000);
  assert.equal(policy.goAwayDelayMs(30_000), 0);
});
