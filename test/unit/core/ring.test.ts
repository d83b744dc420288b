import assert from "node:assert/strict";
import { test } from "node:test";
import { Ring } from "../../../src/core/ring.ts";

test("items come out in the order in which they went in, through growth and wrapping", () => {
  const ring = new Ring<number>(4);
  let next = 0;
  let expected = 0;
  for (let round = 0; round < 50; round++) {
    for (let n = 0; n < 5; n++) ring.push(next++);
    for (let n = 0; n < 4; n++) assert.equal(ring.shift(), expected++);
    assert.equal(ring.length, next - expected);
    assert.equal(ring.peek(), expected);
  }
  while (ring.length > 0) assert.equal(ring.shift(), expected++);
  assert.equal(expected, next);
});

test("an empty ring has nothing", () => {
  const ring = new Ring<string>();
  assert.equal(ring.shift(), undefined);
  assert.equal(ring.peek(), undefined);
  ring.push("a");
  assert.equal(ring.shift(), "a");
  assert.equal(ring.shift(), undefined);
  assert.equal(ring.length, 0);
});
