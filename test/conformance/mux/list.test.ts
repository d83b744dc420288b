import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../support/root.ts";

const RULES = 144;

/** Rows of docs/conformance-yamux.md: a rule and the files that it names, relative to test/. */
const rows = readFileSync(join(root, "docs/conformance-yamux.md"), "utf8")
  .split("\n")
  .map((line) => /^\| Y(\d+) \|.*\| (`[^|]+`) \|$/.exec(line))
  .filter((match) => match !== null)
  .map((match) => ({
    rule: Number(match[1]),
    files: (match[2] ?? "").split(", ").map((name) => name.replaceAll("`", "")),
  }));

test("every rule is listed once", () => {
  assert.deepEqual(
    rows.map((row) => row.rule).sort((a, b) => a - b),
    Array.from({ length: RULES }, (_, index) => index + 1),
  );
});

test("every file that the list names holds a test of its rule", () => {
  for (const { rule, files } of rows) {
    for (const file of files) {
      const source = readFileSync(join(root, "test", file), "utf8");
      const named = new RegExp(`["'\`(, ]Y${rule}["':, ]`).test(source);
      assert.ok(named, `${file} has a test of Y${rule}`);
    }
  }
});
