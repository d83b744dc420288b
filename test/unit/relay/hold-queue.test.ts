import assert from "node:assert/strict";
import { test } from "node:test";
import type { Exchange } from "../../../src/relay/exchange.ts";
import { HoldQueue } from "../../../src/relay/hold-queue.ts";

function exchange(deviceId: string): Exchange {
  return { route: { deviceId }, heldUntil: 0 } as unknown as Exchange;
}

test("those who wait for a device leave in order of arrival, the others stay", () => {
  const queue = new HoldQueue(10);
  const [a, b, other] = [exchange("d1"), exchange("d1"), exchange("d2")];
  for (const one of [a, b, other]) assert.ok(queue.add(one, 100));
  assert.deepEqual(queue.takeAll("d1"), [a, b]);
  assert.deepEqual([a.heldUntil, b.heldUntil, other.heldUntil], [0, 0, 100]);
  assert.equal(queue.size, 1);
  assert.deepEqual(queue.takeAll("d1"), []);
});

test("the queue is bounded, and a place is free again after each way out", () => {
  const queue = new HoldQueue(2);
  const [a, b, c] = [exchange("d1"), exchange("d2"), exchange("d3")];
  assert.ok(queue.add(a, 100));
  assert.ok(queue.add(b, 200));
  assert.equal(queue.add(c, 300), false);
  assert.equal(c.heldUntil, 0);
  queue.remove(a);
  queue.remove(a);
  assert.equal(queue.size, 1);
  assert.ok(queue.add(c, 300));
  assert.deepEqual(queue.takeDue(199), []);
  assert.deepEqual(queue.takeDue(200), [b]);
  assert.deepEqual(queue.takeDue(1_000), [c]);
  assert.equal(queue.size, 0);
});
