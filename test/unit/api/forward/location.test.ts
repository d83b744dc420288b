import assert from "node:assert/strict";
import { test } from "node:test";
import { ownLocation } from "../../../../src/api/forward/location.ts";

const place = { origin: "https://hawser.test", prefix: "/api/devices/d/http" };

const CASES: readonly (readonly [string, string | null])[] = [
  ["/login", "/api/devices/d/http/login"],
  ["/api/devices/d/http/login?a=b#c", "/api/devices/d/http/login?a=b#c"],
  ["next", "/api/devices/d/http/dir/next"],
  ["../up", "/api/devices/d/http/up"],
  ["../../../../../api/auth/me", "/api/devices/d/http/api/auth/me"],
  ["/api/devices/d/http/.a/../../../../auth/me", "/api/devices/d/http/api/auth/me"],
  ["?page=2", "/api/devices/d/http/dir/page?page=2"],
  ["https://hawser.test/x", "/api/devices/d/http/x"],
  ["https://hawser.test/api/devices/d/http/x", "/api/devices/d/http/x"],
  ["/api/devices/d/http", "/api/devices/d/http/api/devices/d/http"],
  ["/api/devices/other/http/x", "/api/devices/d/http/api/devices/other/http/x"],
  ["/api/devices/d/httpx", "/api/devices/d/http/api/devices/d/httpx"],
  ["", "/api/devices/d/http/dir/page"],
  ["https://evil.test/", null],
  ["http://hawser.test/", null],
  ["https://hawser.test:8443/", null],
  ["https://hawser.test.evil.test/", null],
  ["//evil.test/", null],
  ["/\\evil.test/", null],
  ["\\\\evil.test", null],
  ["/\t/evil.test", null],
  [" //evil.test", null],
  ["https:evil", "/api/devices/d/http/dir/evil"],
  ["https:///evil.test", null],
  ["https://user@hawser.test/", null],
  ["/..//evil.test", "/api/devices/d/http//evil.test"],
  ["javascript:alert(1)", null],
  ["data:text/html,x", null],
  ["http://[", null],
];

for (const [location, expected] of CASES) {
  test(`location: ${JSON.stringify(location)} is ${expected ?? "dropped"}`, () => {
    assert.equal(ownLocation(location, "/dir/page", place), expected);
  });
}
