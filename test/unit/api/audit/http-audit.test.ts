import assert from "node:assert/strict";
import test from "node:test";
import { httpAudit, quietLog } from "../../../../src/api/audit/index.ts";
import type { AuditEntry, HttpAuditEvent, Principal } from "../../../../src/api/index.ts";
import { tenantId } from "../../../../src/api/store/index.ts";
import { ManualClock } from "../../../../src/core/clock.ts";

const PRINCIPAL: Principal = {
  kind: "key",
  ref: "hwk_00000001",
  tenantId: "t1",
  userId: "u1",
  role: "member",
  scopes: new Set(),
};

function event(over: Partial<HttpAuditEvent> = {}): HttpAuditEvent {
  const asker = { requestId: "r", address: "192.0.2.1", userAgent: "" };
  const route = "/api/x";
  return { event: "authz_fail", asker, principal: PRINCIPAL, route, reason: "scope", ...over };
}

function telling(callersMax?: number) {
  const clock = new ManualClock(1_000);
  const told: AuditEntry[] = [];
  const log = { record: (entry: AuditEntry) => told.push(entry), tell() {} };
  const audit = httpAudit(log, () => clock.now(), callersMax);
  const tell = (count: number, over: Partial<HttpAuditEvent> = {}): number => {
    const before = told.length;
    for (let at = 0; at < count; at++) audit.record(event(over));
    return told.length - before;
  };
  return { clock, told, tell };
}

test("audit of HTTP: of one caller 60 events of a name a minute are told, then their number", () => {
  const { clock, told, tell } = telling();
  assert.equal(tell(100), 60);
  assert.equal(tell(1, { event: "malicious_csrf" }), 1);
  assert.equal(tell(1, { principal: { ...PRINCIPAL, tenantId: "t2" } }), 1);
  assert.equal(tell(1, { principal: { ...PRINCIPAL, ref: "hwk_00000002" } }), 1);
  clock.advance(59_999);
  assert.equal(tell(1), 0);
  clock.advance(1);
  assert.equal(tell(2), 2);
  assert.deepEqual(
    told.slice(-2).map(({ detail }) => detail),
    [
      { route: "/api/x", reason: "scope", suppressed: 41 },
      { route: "/api/x", reason: "scope" },
    ],
  );
});

test("audit of HTTP: a limit that is exceeded is told once a minute", () => {
  const { clock, tell } = telling();
  const exceeded = { event: "excess_rate_limit_exceeded" } as const;
  assert.equal(tell(1_000, exceeded), 1);
  assert.equal(tell(1_000, { ...exceeded, principal: null }), 1);
  clock.advance(60_000);
  assert.equal(tell(1_000, exceeded), 1);
});

test("audit of HTTP: without a caller it is the address that is counted", () => {
  const { tell } = telling();
  const from = (address: string) => ({
    principal: null,
    asker: { requestId: "r", address, userAgent: "" },
  });
  assert.equal(tell(100, from("192.0.2.1")), 60);
  assert.equal(tell(100, from("192.0.2.2")), 60);
  // One subscriber has 2^64 addresses of IPv6.
  assert.equal(tell(40, from("2001:db8:1:2::1")), 40);
  assert.equal(tell(40, from("2001:db8:1:2:3:4:5:6")), 20);
  assert.equal(tell(40, from("2001:db8:1:3::1")), 40);
});

test("audit of HTTP: as many callers are remembered as may be, the first forgotten first", () => {
  const { tell } = telling(2);
  const by = (ref: string) => ({ principal: { ...PRINCIPAL, ref } });
  for (const ref of ["a", "b"]) assert.equal(tell(61, by(ref)), 60);
  assert.equal(tell(1, by("c")), 1);
  assert.equal(tell(1, by("b")), 0);
  assert.equal(tell(1, by("a")), 1);
});

test("audit of HTTP: a clock that is set back silences nobody", () => {
  const { clock, tell } = telling();
  tell(61);
  clock.advance(-500);
  assert.equal(tell(1), 1);
});

test("audit log: who asks for what is not his as fast as he can is told 60 times a minute, and all else each time", async () => {
  const clock = new ManualClock(1_000);
  const told: AuditEntry[] = [];
  let flushed = 0;
  const flush = async (): Promise<boolean> => {
    flushed += 1;
    return false;
  };
  const log = { record: (entry: AuditEntry) => void told.push(entry), tell() {}, flush };
  const quiet = quietLog(log, () => clock.now(), 2);
  const tell = (count: number, actor: string, name = "malicious_direct_reference"): number => {
    const before = told.length;
    const entry = { event: name, tenant: tenantId("t1"), asker: null, actor, objectId: "d" };
    for (let at = 0; at < count; at++) quiet.record(entry);
    return told.length - before;
  };
  assert.equal(tell(100, "hwk_00000001"), 60);
  assert.equal(tell(1, "hwk_00000002"), 1);
  assert.equal(tell(100, "hwk_00000001", "device_deleted"), 100);
  clock.advance(60_000);
  assert.equal(tell(1, "hwk_00000001"), 1);
  assert.deepEqual(told.at(-1)?.detail, { suppressed: 40 });
  // Two callers are remembered: a third one pushes out the one whose minute began first.
  tell(60, "hwk_00000002");
  tell(60, "hwk_00000003");
  assert.equal(tell(1, "hwk_00000001"), 1);
  assert.equal(await quiet.flush?.(), false);
  assert.equal(flushed, 1);
});
