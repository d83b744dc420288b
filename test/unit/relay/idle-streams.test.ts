import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stream } from "../../../src/mux/index.ts";
import { IdleStreams } from "../../../src/relay/idle-streams.ts";

function stream(state: { closed?: boolean; remoteEnded?: boolean } = {}): Stream {
  return { closed: false, remoteEnded: false, ...state } as unknown as Stream;
}

test("the stream that was used last is taken first", () => {
  const idle = new IdleStreams();
  const [a, b] = [stream(), stream()];
  idle.put(a, 100);
  idle.put(b, 200);
  assert.equal(idle.take(), b);
  assert.equal(idle.take(), a);
  assert.equal(idle.take(), null);
});

test("the one below others may go first, and the next comes to lie above those", () => {
  const idle = new IdleStreams();
  const [a, b, c] = [stream(), stream(), stream()];
  idle.put(a, 100);
  idle.put(b, 200);
  idle.remove(a);
  assert.equal(idle.size, 1);
  idle.put(c, 300);
  assert.equal(idle.nextDue(), 200);
  assert.equal(idle.takeDueIdle(300), b);
  assert.equal(idle.take(), c);
  assert.equal(idle.size, 0);
  assert.equal(idle.nextDue(), Number.POSITIVE_INFINITY);
});

test("a stream that died while idle is passed over", () => {
  const idle = new IdleStreams();
  const good = stream();
  idle.put(good, 100);
  idle.put(stream({ closed: true }), 100);
  idle.put(stream({ remoteEnded: true }), 100);
  assert.equal(idle.take(), good);
  assert.equal(idle.take(), null);
});

test("idle and spent streams are due at their own times", () => {
  const idle = new IdleStreams();
  const [a, b, c] = [stream(), stream(), stream()];
  idle.put(a, 300);
  idle.put(b, 100);
  idle.spend(c, 200);
  assert.equal(idle.nextDue(), 100);
  assert.equal(idle.takeDueIdle(99), null);
  assert.equal(idle.takeDueIdle(100), b);
  assert.equal(idle.nextDue(), 200);
  assert.equal(idle.isSpent(c), true);
  assert.equal(idle.takeDueSpent(200), c);
  assert.equal(idle.isSpent(c), false);
  idle.remove(a);
  assert.equal(idle.nextDue(), Number.POSITIVE_INFINITY);
  assert.equal(idle.take(), null);
});
