import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBaseUrl } from "../../../src/core/base-url.ts";

test("base URL: taken apart, slashes at its end cut", () => {
  const cases: [string, string, string][] = [
    ["http://127.0.0.1:3801", "http://127.0.0.1:3801", ""],
    ["http://127.0.0.1:3801///", "http://127.0.0.1:3801", ""],
    ["HTTPS://Relay.Example:443/", "https://relay.example", ""],
    ["https://relay.example/a/b//", "https://relay.example", "/a/b"],
    ["http://[::1]:3722/x", "http://[::1]:3722", "/x"],
  ];
  for (const [text, origin, prefix] of cases) {
    assert.deepEqual(parseBaseUrl(text), { ok: true, origin, prefix }, text);
  }
});

test("base URL: what cannot be used, and why", () => {
  const cases: [string, string][] = [
    ["", "no URL"],
    ["127.0.0.1:3801", "no URL"],
    ["/internal", "no URL"],
    ["ws://relay.example", "scheme"],
    ["file:///etc/passwd", "scheme"],
    ["http://user@relay.example", "credentials"],
    ["http://:pw@relay.example", "credentials"],
    ["http://relay.example/?", "query"],
    ["http://relay.example/#", "query"],
  ];
  for (const [text, fault] of cases) {
    assert.deepEqual(parseBaseUrl(text), { ok: false, fault }, text);
  }
});
