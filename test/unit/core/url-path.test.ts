import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutDotSegments } from "../../../src/core/url-path.ts";

const CASES: ReadonlyArray<readonly [path: string, expected: string]> = [
  ["/", "/"],
  ["/a/b", "/a/b"],
  ["/.a/b", "/.a/b"],
  ["/.a/../b", "/b"],
  ["/a/.b/../../c", "/c"],
  ["/a/.b/./c", "/a/.b/c"],
  ["/a/.b/..", "/a/"],
  ["/a/.b/.", "/a/.b/"],
  ["/.a/../../../b", "/b"],
  ["/.a/%2e%2E/b", "/b"],
  ["/.a/.%2e/%2e/b", "/b"],
  ["/.a//../b", "/.a/b"],
  ["/a/...", "/a/..."],
];

for (const [path, expected] of CASES) {
  test(`URL path: ${path} is ${expected}`, () => {
    assert.equal(withoutDotSegments(path), expected);
    assert.equal(withoutDotSegments(new URL(`https://x.example${path}`).pathname), expected);
  });
}
