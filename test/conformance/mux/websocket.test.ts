import assert from "node:assert/strict";
import { test } from "node:test";
import type { MuxOptions } from "../../../src/mux/index.ts";
import { expectClosed } from "../../support/mux/errors.ts";
import {
  concat,
  DEFAULT_WINDOW,
  data,
  dataHeader,
  fin,
  pattern,
  ping,
  pong,
  syn,
  wu,
} from "../../support/mux/frames.ts";
import { Harness, type HarnessBehaviour } from "../../support/mux/harness.ts";

const MIB = 1_048_576;

/** A server that has accepted stream 1 with 8 MiB of credit; what it sent is cleared. */
function accepted(options: Partial<MuxOptions> = {}, behaviour: HarnessBehaviour = {}): Harness {
  const harness = new Harness("server", options, { accepts: true, ...behaviour });
  harness.receive(syn(1, 8 * MIB));
  harness.transport.clear();
  return harness;
}

function payloadSent(harness: Harness): number {
  return harness.sent().reduce((sum, one) => sum + one.payload.length, 0);
}

test("Y111: a text message closes with 1003 and nothing of it is decoded", () => {
  const harness = accepted();
  harness.session.receiveText();
  harness.settle();
  harness.expectSent();
  assert.deepEqual(harness.transport.closeCodes(), [1003]);
  assert.equal(harness.inbound().closes, 1);
  assert.notEqual(harness.inbound().error, null);
  assert.equal(harness.closes.length, 1);
  harness.receive(syn(3), data(1, "x"));
  harness.session.receiveText();
  harness.settle();
  assert.equal(harness.announced.length, 1);
  assert.equal(harness.transport.closes.length, 1);
});

test("Y112: a message of maxWindow + 12 bytes is accepted", () => {
  const harness = new Harness(
    "server",
    { initialWindowBytes: 4 * MIB, maxWindowBytes: 4 * MIB },
    { accepts: true, stream: { consumes: false } },
  );
  harness.receive(syn(1));
  harness.receive(data(1, pattern(4 * MIB)));
  assert.equal(harness.inbound().receivedBytes, 4 * MIB);
  harness.expectAlive();
});

test("Y113: a write of 256 KiB by a Go device, header and payload in two messages", () => {
  const harness = accepted();
  harness.receive(dataHeader(1, DEFAULT_WINDOW));
  harness.receive(pattern(DEFAULT_WINDOW));
  assert.equal(Buffer.compare(concat(harness.inbound().chunks), pattern(DEFAULT_WINDOW)), 0);
  harness.expectSent(wu(1, DEFAULT_WINDOW));
  harness.expectAlive();
});

test("Y114: with the gateway option no message exceeds its limit, and the bytes are the same", () => {
  const harness = accepted({ hardWsMessageOut: true, maxWsMessageOutBytes: 32_768 });
  harness.receive(syn(3, 8 * MIB));
  harness.transport.clear();
  const payload = pattern(MIB);
  harness.inbound(0).live.write(payload);
  harness.inbound(1).live.write(payload.subarray(0, 70_000));
  for (let n = 0; n < 500; n++) harness.inbound(1).live.write(pattern(97, n));
  harness.settle();
  for (const message of harness.transport.messages) {
    assert.ok(message.length <= 32_768, `a message of ${message.length} bytes`);
  }
  const first = concat(
    harness
      .sent()
      .filter((one) => one.id === 1)
      .map((one) => one.payload),
  );
  assert.equal(Buffer.compare(first, payload), 0);
  assert.equal(payloadSent(harness), MIB + 70_000 + 48_500);
});

test("Y114: without it batches stay within 64 KiB + 12", () => {
  const harness = accepted();
  for (let n = 0; n < 1_000; n++) harness.inbound().live.write(pattern(300, n));
  harness.settle();
  assert.equal(payloadSent(harness), 300_000);
  for (const message of harness.transport.messages) assert.ok(message.length <= 65_536 + 12);
});

test("Y115: a dropped send terminates the session at once", () => {
  for (const size of [100, 100_000]) {
    const harness = accepted();
    harness.transport.drops = true;
    harness.inbound().live.write(pattern(size));
    harness.settle();
    assert.equal(harness.transport.terminations, 1);
    assert.deepEqual(harness.transport.closeCodes(), []);
    expectClosed(harness.inbound().error, "transport");
    assert.equal(harness.inbound().closes, 1);
    assert.equal(harness.closes.length, 1);
    assert.equal(harness.session.isOpen, false);
    harness.transport.drops = false;
    harness.receive(ping(1), syn(3));
    harness.expectSent();
    assert.equal(harness.announced.length, 1);
  }
});

test("Y116: above high water no data is handed over, control frames are, data resumes below low water", () => {
  const harness = accepted();
  harness.receive(syn(3));
  harness.transport.clear();
  harness.fill(262_144 + 1);
  const stream = harness.inbound().live;
  stream.write(pattern(50_000));
  harness.receive(ping(1), data(3, pattern(DEFAULT_WINDOW)), fin(3));
  harness.expectSent(pong(1));
  harness.receive(syn(5), data(5, pattern(200_000)));
  assert.deepEqual(harness.sentNotation(), ["WU+ACK(5,0)", "WU(5,200000)"]);
  harness.transport.clear();
  stream.end();
  harness.settle();
  harness.expectSent();
  harness.transport.buffered = 65_536 + 1;
  harness.session.transportDrained();
  harness.settle();
  harness.expectSent();
  harness.transport.buffered = 65_536 - 1;
  harness.session.transportDrained();
  harness.settle();
  harness.expectSent(data(1, pattern(50_000)), fin(1));
});

test("Y116: a transport that fills while we send stops the rest", () => {
  const harness = accepted();
  harness.transport.stuck = true;
  const stream = harness.inbound().live;
  let taken = 0;
  while (taken < 4 * MIB && stream.write(pattern(20_000))) {
    taken += 20_000;
    harness.settle();
  }
  harness.settle();
  assert.ok(taken < 2 * MIB, `the writer was stopped after ${taken} bytes`);
  assert.ok(harness.transport.buffered <= 262_144 + 65_536 + 40_000);
  assert.equal(stream.isWritable, false);
  harness.transport.stuck = false;
  harness.transport.buffered = 0;
  harness.session.transportDrained();
  harness.settle();
  assert.equal(payloadSent(harness), taken + 20_000);
  assert.equal(harness.inbound().writables, 1);
});

test("Y117: a peer that does not read for 30 s while above high water is closed with 1008", () => {
  const harness = accepted();
  harness.transport.stuck = true;
  harness.receive(syn(3, 8 * MIB));
  for (const one of harness.announced) {
    for (let n = 0; n < 100 && one.live.isWritable; n++) {
      one.live.write(pattern(65_536));
      harness.settle();
    }
  }
  const sentBytes = harness.transport.bytes().length;
  for (let second = 0; second < 29; second++) {
    harness.advance(1_000);
    harness.receive(ping(second));
  }
  assert.equal(harness.session.isOpen, true);
  const grown = harness.transport.bytes().length - sentBytes;
  assert.ok(grown < 2_000, `only control frames were added: ${grown} bytes`);
  for (let second = 0; second < 5; second++) {
    harness.advance(1_000);
    if (harness.session.isOpen) harness.receive(ping(second));
  }
  assert.deepEqual(harness.transport.closeCodes(), [1008]);
  for (const one of harness.announced) assert.equal(one.closes, 1);
});

test("Y117: a slow peer is no peer that does not read", () => {
  const harness = accepted();
  harness.transport.stuck = true;
  const stream = harness.inbound().live;
  while (stream.isWritable) {
    stream.write(pattern(65_536));
    harness.settle();
  }
  for (let second = 0; second < 120; second++) {
    harness.advance(1_000);
    if (second % 10 === 0) harness.transport.buffered -= 1_000;
    harness.receive(ping(second));
  }
  assert.equal(harness.session.isOpen, true);
});

test("section 9.3: an internal failure sends GoAway(2) and closes with 1011", () => {
  const harness = accepted();
  harness.session.close(1011, "internal failure", 2);
  harness.settle();
  assert.deepEqual(harness.sentNotation(), ["GoAway(2)"]);
  assert.deepEqual(harness.transport.closes, [{ code: 1011, reason: "internal failure" }]);
});
