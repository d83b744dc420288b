import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestIds } from "../../../src/core/request-ids.ts";

test("ids differ from each other, within one source and between two", () => {
  const sources = [new RequestIds(), new RequestIds()];
  const seen = new Set<string>();
  // Past several carries of the ready-made digits.
  for (let count = 0; count < 12_345; count++) {
    for (const ids of sources) {
      const id = ids.next();
      assert.match(id, /^[0-9a-f]{12}-[0-9]{4,}$/);
      seen.add(id);
    }
  }
  assert.equal(seen.size, 24_690);
});

test("a caller's own id is passed on where it can be, and replaced otherwise", () => {
  const ids = new RequestIds();
  assert.equal(ids.accept("caller-id-1"), "caller-id-1");
  for (const odd of ["", "short", "with space 1", "x".repeat(65), "semi;colon"]) {
    assert.match(ids.accept(odd), /^[0-9a-f]{12}-[0-9]{4,}$/);
  }
});
