import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import test from "node:test";
import { AddressLimit } from "../../../../src/api/auth/address-limit.ts";
import { membershipOf } from "../../../../src/api/auth/membership.ts";
import { RecentEnds } from "../../../../src/api/auth/recent-ends.ts";
import { isPrefetch, userAgentFamily, wantsJson } from "../../../../src/api/auth/requests.ts";
import type { Identity } from "../../../../src/api/oidc/index.ts";
import { ManualClock } from "../../../../src/core/clock.ts";

const ADA: Identity = {
  issuer: "https://idp.example.org",
  sub: "ada",
  sid: null,
  tenant: null,
  roles: [],
  name: null,
  email: "ada@example.org",
  authTimeMs: null,
  acr: null,
  amr: [],
  issuedAtMs: 0,
  idTokenExpiresAtMs: 0,
  sessionExpiresAtMs: null,
};

test("membership: without a tenant claim everybody is a tenant of their own and its admin", () => {
  const { tenant, role } = membershipOf(ADA, false, "admin");
  assert.equal(tenant, "u:MsOQUm1Uogt0O9Rm3WSw_4aJGREhSN0RYAopO90WTB4");
  assert.equal(role, "admin");
  const others = [
    { ...ADA, sub: "bob" },
    { ...ADA, issuer: "https://idp.example.net" },
    // Neither part can take over from the other.
    { ...ADA, issuer: "https://idp.example.orgada", sub: "" },
  ].map((identity) => membershipOf(identity, false, "admin").tenant);
  assert.equal(new Set([tenant, ...others]).size, 4);
  assert.equal(membershipOf({ ...ADA, email: "new@example.org" }, false, "admin").tenant, tenant);
});

test("membership: a claimed tenant cannot be mistaken for a person's own", () => {
  const own = membershipOf(ADA, false, "admin").tenant;
  assert.equal(membershipOf({ ...ADA, tenant: own }, false, "admin").tenant, `t:${own}`);
});

test("membership: the role claim says who is admin; without one nobody is told", () => {
  const of = (roles: readonly string[], hasClaim = true) =>
    membershipOf({ ...ADA, tenant: "acme", roles }, hasClaim, "owner");
  assert.deepEqual(of(["owner"]), { tenant: "t:acme", role: "admin" });
  assert.deepEqual(of(["staff", "admin", "Owner"]), { tenant: "t:acme", role: "member" });
  assert.deepEqual(of([]), { tenant: "t:acme", role: "member" });
  assert.deepEqual(of(["owner"], false), { tenant: "t:acme" });
});

test("recent ends: are bounded, and what was replaced stays so", () => {
  const recent = new RecentEnds(2);
  recent.note("a", "replaced");
  recent.note("a", "ended");
  recent.note("b", "ended");
  assert.deepEqual(
    [recent.find("a"), recent.find("b"), recent.find("c")],
    ["replaced", "ended", null],
  );
  recent.note("c", "ended");
  assert.equal(recent.size, 2);
  assert.equal(recent.find("a"), null);
});

test("address limit: so many a minute, by address, with bounded memory", () => {
  const clock = new ManualClock();
  const limit = new AddressLimit(2, 3, clock);
  assert.deepEqual(
    [1, 2, 3].map(() => limit.take("192.0.2.1")),
    [0, 0, 60],
  );
  assert.equal(limit.take("192.0.2.2"), 0);
  clock.advance(59_001);
  assert.equal(limit.take("192.0.2.1"), 1);
  clock.advance(999);
  assert.equal(limit.take("192.0.2.1"), 0);
  // An IPv6 subscriber has a /64.
  assert.deepEqual(
    ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map((at) => limit.take(at)),
    [0, 0, 60],
  );
  // More addresses than are remembered: the first one begins anew.
  for (const address of ["192.0.2.3", "192.0.2.4", "192.0.2.5"]) limit.take(address);
  assert.equal(limit.take("2001:db8::4"), 0);
});

function asked(headers: Record<string, string>): IncomingMessage {
  return { headers } as unknown as IncomingMessage;
}

test("requests: a program is one that takes JSON and no page", () => {
  for (const [accept, expected] of [
    ["application/json", true],
    ["application/problem+json, */*;q=0.1", true],
    ["text/html,application/json", false],
    ["*/*", false],
    ["", false],
  ] as const) {
    assert.equal(wantsJson(asked({ accept })), expected, accept);
  }
});

test("requests: a prefetch is told by either field", () => {
  assert.equal(isPrefetch(asked({ "sec-purpose": "prefetch;anonymous-client-ip" })), true);
  assert.equal(isPrefetch(asked({ purpose: "Prefetch" })), true);
  assert.equal(isPrefetch(asked({})), false);
});

test("requests: of a browser its family and system are kept", () => {
  for (const [text, family] of [
    ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"],
    [
      "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
      "Chrome on Windows",
    ],
    [
      "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0",
      "Edge on Windows",
    ],
    [
      "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
      "Safari on iOS",
    ],
    [
      "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
      "Safari on macOS",
    ],
    ["curl/8.5.0", "curl"],
    ["something <script>", "Another browser"],
    ["", null],
  ] as const) {
    assert.equal(userAgentFamily(text), family);
  }
});
