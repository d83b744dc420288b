import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decidePath } from "../../../src/api/path.ts";
import { BYPASSES, PLAIN } from "../../support/api/paths.ts";

const TAIL = "/api/things/abcd/http/";
const findTail = (path: string): number => (path.startsWith(TAIL) ? TAIL.length : -1);

describe("decidePath", () => {
  for (const target of BYPASSES) {
    it(`refuses ${JSON.stringify(target)}`, () => {
      assert.equal(decidePath(target, 16_384, findTail).ok, false);
    });
  }

  for (const target of PLAIN) {
    it(`takes ${JSON.stringify(target)} as it is`, () => {
      const decided = decidePath(target, 16_384, findTail);
      assert.ok(decided.ok);
      const [path, query = ""] = target.split(/\?(.*)/s);
      assert.deepEqual([decided.path, decided.query], [path, query]);
    });
  }

  for (const [tail, ok] of [
    ["", true],
    ["a//b", true],
    ["//a", true],
    ["a;b=c/d", true],
    ["a%2fb", true],
    ["http://169.254.169.254/", true],
    ["a%25b", true],
    ["..a/...", true],
    ["..", false],
    ["a/../b", false],
    ["a/%2e%2E/b", false],
    ["a%2f..%2fb", false],
    [".%2e", false],
    ["a/./b", false],
    ["a\\b", false],
    ["a%5cb", false],
    ["a%00b", false],
    ["a%zz", false],
    ["a#b", false],
    ["ä", false],
    ["a b", false],
  ] as const) {
    it(`${ok ? "takes" : "refuses"} the tail ${JSON.stringify(tail)}`, () => {
      const decided = decidePath(TAIL + tail, 16_384, findTail);
      assert.equal(decided.ok, ok);
      if (decided.ok) assert.equal(decided.path.slice(decided.tailStart), tail);
    });
  }

  it("has a limit in bytes, path and query together", () => {
    const at = `/${"a".repeat(97)}?b`;
    assert.equal(decidePath(at, 100, findTail).ok, true);
    assert.deepEqual(decidePath(`${at}c`, 100, findTail), { ok: false, fault: "too_long" });
  });
});
