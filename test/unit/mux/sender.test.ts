import assert from "node:assert/strict";
import { test } from "node:test";
import { ack, concat, DEFAULT_WINDOW, data, pattern, wu } from "../../support/mux/frames.ts";
import { Harness, type RecordingStream } from "../../support/mux/harness.ts";

/** A client whose one stream has used its window up, with `waiting` bytes in its queue. */
function stalled(waiting: number): { harness: Harness; stream: RecordingStream; rest: Uint8Array } {
  const harness = new Harness("client");
  const stream = harness.open();
  harness.settle();
  harness.receive(ack(stream.live.id, 0));
  const body = pattern(DEFAULT_WINDOW + waiting);
  stream.live.write(body);
  harness.settle();
  harness.transport.clear();
  return { harness, stream, rest: body.slice(DEFAULT_WINDOW) };
}

test("what waited leaves in one message for a credit, from where it lies", () => {
  const { harness, stream, rest } = stalled(229_376);
  harness.transport.sendParts = () => assert.fail("it would be copied once more");
  harness.receive(wu(stream.live.id, 131_072));
  assert.equal(harness.transport.messages.length, 1);
  harness.receive(wu(stream.live.id, 131_072));
  assert.equal(harness.transport.messages.length, 2);
  harness.expectSent(data(1, rest.slice(0, 131_072)), data(1, rest.slice(131_072)));
});

test("a queued piece that credit lets out bit by bit leaves whole and in order", () => {
  const { harness, stream, rest } = stalled(300_000);
  for (const credit of [20_000, 1_500, 100_000, 16_384, 1_024, 200_000]) {
    harness.receive(wu(stream.live.id, credit));
  }
  assert.deepEqual(concat(harness.sent().map((one) => one.payload)), rest);
  assert.equal(harness.session.pools.chunksOut, 0);
});
