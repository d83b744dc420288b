import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { decidePath } from "../../../src/api/path.ts";

const seed = process.env["HAWSER_SEED"];
const parameters = { numRuns: 20_000, ...(seed === undefined ? {} : { seed: Number(seed) }) };
const TAIL = "/t/";
const findTail = (path: string): number => (path.startsWith(TAIL) ? TAIL.length : -1);

/** Pieces of which readers of paths disagree. */
const piece = fc.oneof(
  fc.constantFrom("/", "//", ".", "..", ";", "\\", "?", "#", "%", "a", "B", ":", "@", "t", "~"),
  fc.constantFrom(
    "%2e",
    "%2E",
    "%2f",
    "%5C",
    "%00",
    "%25",
    "%252e",
    "%3b",
    "%c0%ae",
    "%C3%A4",
    "%20",
  ),
  fc.string({ unit: "binary-ascii", maxLength: 2 }),
);
const target = fc.array(piece, { maxLength: 12 }).map((pieces) => `/${pieces.join("")}`);

test("a path that is taken is read alike by the URL standard, and decodes to no separator", () => {
  fc.assert(
    fc.property(target, (text) => {
      const decided = decidePath(text, 16_384, () => -1);
      if (!decided.ok) return;
      const url = new URL(`http://h${text}`);
      assert.equal(url.pathname, decided.path);
      assert.equal(url.host, "h");
      const decoded = decodeURIComponent(decided.path);
      assert.equal(decoded.split("/").length, decided.path.split("/").length);
      for (const segment of decoded.split("/")) {
        assert.ok(segment !== "." && segment !== "..");
      }
    }),
    parameters,
  );
});

test("a tail that is taken does not climb out of its prefix", () => {
  fc.assert(
    fc.property(target, (text) => {
      const decided = decidePath(`/t${text}`, 16_384, findTail);
      if (!decided.ok) return;
      assert.ok(new URL(`http://h${decided.path}`).pathname.startsWith(TAIL));
      const once = decided.path.replace(/%2f/gi, "/").replace(/%2e/gi, ".");
      assert.ok(!once.split("/").some((segment) => segment === "." || segment === ".."));
    }),
    parameters,
  );
});
