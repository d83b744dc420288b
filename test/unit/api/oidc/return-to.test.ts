import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { readReturnTo, returnToUrl } from "../../../../src/api/oidc/index.ts";

const BASE = "https://app.example.org";

const FINE = [
  "/",
  "/devices",
  "/devices?tag=a&sort=-name",
  "/devices#top",
  "/@evil",
  "/a/b/../c",
  "/a//b",
  "/a%20b",
  "/search?q=%2F%2Fevil.example",
  "/search?next=https://evil.example",
  "/search?q=%0d%0a",
  "/:80/x",
  "/?//evil.example",
  "/#//evil.example",
  "/https:evil",
  "/authors",
  "/api/authors",
  "/api/devices",
  "/x/api/auth/logout",
  `/${"a".repeat(2_047)}`,
];

/** Anything but a plain path on our own origin, outside of `/api/auth/`. */
const REFUSED: readonly unknown[] = [
  // Other types, and nothing.
  undefined,
  null,
  "",
  " ",
  7,
  true,
  {},
  [],
  ["/devices"],
  ["/a", "/b"],
  // Other origins, in full.
  "https://evil.example",
  "http://evil.example/",
  "HTTPS://evil.example",
  "https:evil.example",
  "https:/evil.example",
  "https:///evil.example",
  "http:evil.example",
  "ftp://evil.example",
  "https://app.example.org",
  "https://app.example.org/devices",
  "https://app.example.org@evil.example",
  "https://app.example.org.evil.example",
  "https://evil.example#https://app.example.org",
  "evil.example",
  "www.evil.example",
  "evil.example/path",
  "@evil.example",
  ":80",
  "?x",
  "#x",
  // Schemes with code in them.
  "javascript:alert(1)",
  "JavaScript:alert(1)",
  "java\tscript:alert(1)",
  "\x01javascript:alert(1)",
  "data:text/html,x",
  "vbscript:x",
  "blob:https://evil.example/x",
  "file:///etc/passwd",
  "about:blank",
  "javascript://evil.example/%0aalert(1)",
  "view-source:x",
  // Two slashes, and what becomes of them.
  "//evil.example",
  "///evil.example",
  "////evil.example",
  "//evil.example/..",
  "//evil.example:80",
  "//app.example.org@evil.example",
  "//[::1]",
  "//127.0.0.1",
  "//0x7f000001",
  "//evil%E3%80%82example",
  "//%65vil.example",
  "//",
  "///",
  "//\\evil.example",
  // Backslashes.
  "/\\evil.example",
  "\\evil.example",
  "\\\\evil.example",
  "\\/evil.example",
  "/\\/evil.example",
  "/\\\\evil.example",
  "/a\\b",
  "/a/..\\\\evil.example",
  "https:\\\\evil.example",
  "/%5cevil.example",
  "/%5Cevil.example",
  "/%5c%5cevil.example",
  "/%255cevil.example",
  "/a/%5c..",
  "/..%5c%5cevil.example",
  // Dot segments that end in two slashes.
  "/..//evil.example",
  "/.//evil.example",
  "/a/..//evil.example",
  "/a/../..//evil.example",
  "/./..//evil.example",
  "/%2e%2e//evil.example",
  "/%2e//evil.example",
  "/.%2e//evil.example",
  "/..///evil.example",
  "/../\\evil.example",
  "/a/b/../..//evil.example",
  // Encoded slashes at the start.
  "/%2fevil.example",
  "/%2Fevil.example",
  "/%2f%2fevil.example",
  "/%252fevil.example",
  "/..%2f%2fevil.example",
  "/.%2f/evil.example",
  "/a/..%2f..%2f%2fevil.example",
  "/%25252fevil.example",
  // Control characters, plain and encoded.
  "/\tevil.example",
  "/\t/evil.example",
  "/\n/evil.example",
  "/\r/evil.example",
  "\t//evil.example",
  "\n//evil.example",
  " //evil.example",
  "/ /evil.example",
  "/\0",
  "/a\0b",
  "/\x7f",
  "/\x0b/evil.example",
  "/%09/evil.example",
  "/%0a/evil.example",
  "/%0d%0aSet-Cookie:x=1",
  "/%0D%0ALocation:x",
  "/%00",
  "/%2500",
  "/%7f",
  "/a%0d",
  "/%250d%250a",
  "/\r\nSet-Cookie:x",
  // Other spaces and look-alikes.
  "/\u00a0/evil.example",
  "/\u2028",
  "/\u2029/evil.example",
  "/\u3000/evil.example",
  "/\ufeff",
  "\u2215\u2215evil.example",
  "/\uff0fevil.example",
  "/\u2044evil.example",
  "/caf\u00e9",
  "/\ud800",
  "\u200b//evil.example",
  "/evil\u3002example",
  // Broken or endless encodings.
  "/%",
  "/%zz",
  "/%e0%a4",
  "/%ff",
  "/%c0%af",
  "/%25252525252541",
  // Too long.
  `/${"a".repeat(2_048)}`,
  `/${"a".repeat(3_000)}`,
  // Our own sign-in, which would loop or sign out.
  "/api/auth",
  "/api/auth/",
  "/api/auth/login",
  "/api/auth/logout",
  "/api/auth/callback?code=x",
  "/api/auth?x",
  "/api/auth#x",
  "/api/./auth/logout",
  "/x/../api/auth/logout",
  "/.x/../api/auth/logout",
  "/api/.x/../auth/logout",
  "/%61pi/auth/logout",
  "/api%2fauth%2flogout",
  "/api/%61uth/logout",
  "/api//auth/logout",
  "/API/AUTH/logout",
  "/api/auth;x/logout",
  "/api/%2e/auth/logout",
  "/api/auth%2flogout",
  "/%2561pi/auth/logout",
];

test(`return_to: ${FINE.length} paths of ours are kept`, () => {
  for (const path of FINE) {
    assert.equal(readReturnTo(path, BASE)?.href, new URL(path, BASE).href, path);
    assert.equal(returnToUrl(path, BASE), new URL(path, BASE).href);
  }
});

test(`return_to: ${REFUSED.length} others become the start page`, () => {
  assert.ok(REFUSED.length >= 100);
  for (const value of REFUSED) {
    assert.equal(readReturnTo(value, BASE), null, JSON.stringify(value));
    assert.equal(returnToUrl(value, BASE), `${BASE}/`);
  }
});

test("return_to: whatever is asked for, the origin is ours and the path has one slash in front", () => {
  const pieces = fc.constantFrom(
    "/",
    "\\",
    "..",
    ".",
    "//",
    "%2f",
    "%5c",
    "%2e",
    "%25",
    "%0a",
    "\t",
    "@",
    ":",
    "?",
    "#",
    "evil.example",
    "https:",
    "api",
    "auth",
    ";",
    "%",
    "a",
  );
  const crafted = fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join(""));
  const anything = fc.oneof(
    crafted,
    crafted.map((text) => `/${text}`),
    fc.string(),
    fc.anything(),
  );
  fc.assert(
    fc.property(anything, (value) => {
      const url = new URL(returnToUrl(value, BASE));
      assert.equal(url.origin, BASE);
      assert.ok(!url.pathname.startsWith("//"));
      assert.ok(!/^\/api\/auth(?:\/|$)/i.test(url.pathname));
      // A browser that resolves the path alone stays here too.
      const path = url.pathname + url.search + url.hash;
      assert.equal(new URL(path, "https://probe.example").origin, "https://probe.example");
      // What came out goes in again.
      if (url.pathname !== "/") assert.notEqual(readReturnTo(path, BASE), null);
    }),
    { numRuns: 3_000 },
  );
});

test("return_to: a base on loopback works alike", () => {
  assert.equal(returnToUrl("/a", "http://127.0.0.1:3721"), "http://127.0.0.1:3721/a");
  assert.equal(
    returnToUrl("//127.0.0.1:3721/a", "http://127.0.0.1:3721"),
    "http://127.0.0.1:3721/",
  );
});
