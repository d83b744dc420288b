import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { MuxOptions } from "../../../src/mux/index.ts";
import { toDuplex } from "../../../src/mux/index.ts";
import { expectClosed } from "../../support/mux/errors.ts";
import { feedInPieces, inEveryWay } from "../../support/mux/every-way.ts";
import {
  ack,
  concat,
  DEFAULT_WINDOW,
  data,
  dataHeader,
  FLAG,
  fin,
  pattern,
  ping,
  rst,
  syn,
  TYPE,
  wu,
} from "../../support/mux/frames.ts";
import { Harness, type HarnessBehaviour, type RecordingStream } from "../../support/mux/harness.ts";
import { until } from "../../support/until.ts";

const MIB = 1_048_576;
const held = { stream: { consumes: false } } as const;

/** A server that has accepted stream 1; what it sent is cleared. */
function accepted(
  options: Partial<MuxOptions> = {},
  behaviour: HarnessBehaviour = {},
): { harness: Harness; stream: RecordingStream } {
  const harness = new Harness("server", options, { accepts: true, ...behaviour });
  harness.receive(syn(1));
  harness.transport.clear();
  return { harness, stream: harness.inbound() };
}

/** A client with `count` acknowledged streams that have `credit` bytes beyond the default window. */
function opened(count: number, credit: number): { harness: Harness; streams: RecordingStream[] } {
  const harness = new Harness("client");
  const streams = Array.from({ length: count }, () => harness.open());
  harness.settle();
  for (const stream of streams) harness.receive(ack(stream.live.id, credit));
  harness.transport.clear();
  return { harness, streams };
}

function payloadSent(harness: Harness): number {
  return harness.sent().reduce((sum, one) => sum + one.payload.length, 0);
}

test("Y52: a full window of unread data is accepted, one byte more is fatal", () => {
  for (const size of [DEFAULT_WINDOW, 65_536, 4_096]) {
    const { harness, stream } = accepted({}, held);
    for (let sent = 0; sent < DEFAULT_WINDOW; sent += size) {
      harness.receive(data(1, pattern(size)));
    }
    assert.equal(stream.receivedBytes, DEFAULT_WINDOW);
    assert.equal(stream.live.unconsumed, DEFAULT_WINDOW);
    harness.expectSent();
    harness.receive(data(1, "!"));
    assert.equal(stream.receivedBytes, DEFAULT_WINDOW, "the byte too much is not delivered");
    harness.expectFatal();
    assert.equal(stream.closes, 1);
  }
});

test("Y52: the byte too much is fatal on its header alone", () => {
  const { harness } = accepted({}, held);
  harness.receive(data(1, pattern(DEFAULT_WINDOW)));
  harness.receive(dataHeader(1, 1));
  harness.expectFatal();
});

test("Y53: one Data frame of exactly the window is accepted", () => {
  const { harness, stream } = accepted({}, held);
  harness.receive(data(1, pattern(DEFAULT_WINDOW)));
  assert.equal(Buffer.compare(concat(stream.chunks), pattern(DEFAULT_WINDOW)), 0);
  harness.expectAlive();
});

test("Y54: with 1 MiB granted, one Data frame of 1 MiB is accepted, in one or many messages", () => {
  for (const piece of [0, 65_536, 4_096, 100_003]) {
    const { harness, stream } = accepted({ initialWindowBytes: MIB, maxWindowBytes: MIB }, held);
    feedInPieces(harness, data(1, pattern(MIB)), piece);
    harness.settle();
    assert.equal(Buffer.compare(concat(stream.chunks), pattern(MIB)), 0);
    harness.expectAlive();
  }
});

test('Y55: overrunPolicy "stream" resets the one stream, and the third in 60 s is fatal', () => {
  const { harness, stream } = accepted({ overrunPolicy: "stream" }, held);
  harness.receive(syn(3), syn(5), syn(7), syn(9));
  harness.transport.clear();
  const tooMuch = concat([data(1, pattern(DEFAULT_WINDOW)), data(1, "!"), data(9, "fine")]);
  harness.receive(tooMuch);
  harness.expectSent(rst(1));
  assert.equal(stream.closes, 1);
  assert.notEqual(stream.error, null);
  assert.equal(harness.inbound(4).text, "fine", "the frame after the overrun is parsed");
  harness.expectAlive();
  harness.advance(20_000);
  harness.receive(data(3, pattern(DEFAULT_WINDOW + 1)), data(9, "too"));
  harness.expectSent(rst(3));
  assert.equal(harness.inbound(4).text, "finetoo");
  harness.advance(20_000);
  harness.receive(data(5, pattern(DEFAULT_WINDOW + 1)));
  harness.expectFatal();
});

test('Y55: with overrunPolicy "stream", overruns far apart never end the session', () => {
  const { harness } = accepted({ overrunPolicy: "stream" }, held);
  for (let n = 0; n < 5; n++) {
    const id = 101 + 2 * n;
    harness.receive(syn(id));
    harness.receive(data(id, pattern(DEFAULT_WINDOW + 1)));
    harness.advance(31_000);
  }
  harness.expectAlive();
});

test('Y55: with overrunPolicy "stream", a frame above the largest window is fatal', () => {
  const { harness } = accepted({ overrunPolicy: "stream", maxWindowBytes: MIB }, held);
  harness.receive(dataHeader(1, MIB + 1));
  harness.expectFatal();
});

test("Y56: 200 KiB read in steps of 16 KiB give exactly one credit of 131072", () => {
  const { harness, stream } = accepted({}, held);
  harness.receive(data(1, pattern(204_800)));
  let consumed = 0;
  for (; consumed < 114_688; consumed += 16_384) {
    stream.live.consume(16_384);
    harness.settle();
    harness.expectSent();
  }
  stream.live.consume(16_384);
  harness.settle();
  harness.expectSent(wu(1, 131_072));
  for (consumed += 16_384; consumed < 204_800; consumed += 8_192) {
    stream.live.consume(8_192);
    harness.settle();
  }
  harness.expectSent();
});

test("Y57: 131071 bytes read give no credit yet, one more does", () => {
  const { harness, stream } = accepted({}, held);
  harness.receive(data(1, pattern(204_800)));
  stream.live.consume(131_071);
  harness.settle();
  harness.expectSent();
  stream.live.consume(1);
  harness.settle();
  harness.expectSent(wu(1, 131_072));
});

test("Y57: several reads in one turn give one credit", () => {
  const { harness, stream } = accepted({}, held);
  harness.receive(data(1, pattern(204_800)));
  for (let n = 0; n < 200; n++) stream.live.consume(1_024);
  harness.settle();
  harness.expectSent(wu(1, 204_800));
});

test("Y58: no reading, no credit", () => {
  const { harness, stream } = accepted({}, held);
  for (let sent = 0; sent < DEFAULT_WINDOW; sent += 16_384) {
    harness.receive(data(1, pattern(16_384)));
    harness.advance(1_000);
  }
  harness.expectSent();
  assert.equal(stream.live.unconsumed, DEFAULT_WINDOW);
});

test("Y58: no credit before the accept", () => {
  const harness = new Harness("server");
  harness.receive(syn(1), data(1, pattern(200_000)));
  harness.expectSent();
  assert.equal(harness.inbound().live.unconsumed, 200_000);
});

test("Y59: bytes that wait in a downstream are not consumed", async (t) => {
  const harness = new Harness("server");
  harness.receive(syn(1));
  const duplex = toDuplex(harness.inbound().live);
  t.after(() => duplex.destroy());
  harness.settle();
  harness.transport.clear();
  for (let n = 0; n < 50; n++) harness.receive(data(1, pattern(4_096)));
  await setImmediate();
  harness.settle();
  harness.expectSent();
  let read = 0;
  duplex.on("data", (chunk: Uint8Array) => {
    read += chunk.length;
  });
  await until(() => {
    harness.settle();
    return read === 204_800;
  }, "all bytes downstream");
  const credit = harness.sent().filter((one) => one.type === TYPE.WINDOW_UPDATE);
  assert.equal(credit.length, 1);
  assert.ok((credit[0]?.length ?? 0) >= 131_072);
});

test("Y60: credit for a stream at zero resumes its writer within the turn", () => {
  const { harness, stream } = accepted();
  assert.equal(stream.live.write(pattern(DEFAULT_WINDOW + 50_000)), false);
  harness.settle();
  assert.equal(payloadSent(harness), DEFAULT_WINDOW);
  harness.transport.clear();
  harness.feed(wu(1, 50_000));
  harness.settle();
  harness.expectSent(data(1, pattern(DEFAULT_WINDOW + 50_000).subarray(DEFAULT_WINDOW)));
  assert.deepEqual(stream.events, ["writable"]);
  assert.equal(stream.live.isWritable, true);
});

test("Y61: see the property in test/fuzz/mux/window.test.ts; here one fixed course", () => {
  const { harness, stream } = accepted();
  let granted = DEFAULT_WINDOW;
  for (const credit of [1_024, 5_000, 100_000, 1, 2, 3, 70_000]) {
    stream.live.write(pattern(90_000));
    harness.receive(wu(1, credit));
    granted += credit;
    assert.ok(payloadSent(harness) <= granted);
  }
});

test("Y62: credit that would bring the window above 0xFFFFFFFF is fatal", () => {
  const over = 0xffffffff - DEFAULT_WINDOW + 1;
  inEveryWay(
    (afterReceive) => accepted({}, { afterReceive }).harness,
    wu(1, over),
    (harness) => harness.expectFatal(),
  );
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { afterReceive }),
    syn(1, over),
    (harness) => harness.expectFatal(),
  );
  const { harness } = opened(1, 0xffffffff - DEFAULT_WINDOW);
  harness.receive(wu(1, 1));
  harness.expectFatal();
});

test("Y63: credit that brings it to exactly 0xFFFFFFFF is accepted", () => {
  inEveryWay(
    (afterReceive) => accepted({}, { afterReceive }).harness,
    wu(1, 0xffffffff - DEFAULT_WINDOW),
    (harness) => harness.expectAlive(),
  );
});

test("Y64: an empty credit without flags is ignored and counted", () => {
  const { harness } = accepted();
  for (let n = 0; n < 1_000; n++) harness.receive(wu(1, 0));
  harness.expectSent();
  harness.expectAlive();
  harness.receive(wu(1, 0), wu(1, 0));
  harness.expectFatal(1, 1008);
});

for (const [what, bytes] of [
  ["credit", wu(0, 5)],
  ["an empty credit", wu(0, 0)],
  ["Data", data(0, "x")],
  ["empty Data", data(0, "")],
  ["ACK", ack(0)],
  ["FIN", fin(0)],
  ["RST", rst(0)],
] as const) {
  test(`Y65: ${what} on id 0 is fatal`, () => {
    inEveryWay(
      (afterReceive) => accepted({}, { afterReceive }).harness,
      bytes,
      (harness) => harness.expectFatal(),
    );
  });
}

test("Y66: credit for a fully closed stream is ignored", () => {
  const { harness, stream } = accepted();
  stream.live.end();
  harness.receive(fin(1));
  assert.equal(harness.session.streamCount, 0);
  harness.transport.clear();
  harness.receive(wu(1, 1_000));
  harness.expectSent();
  harness.expectAlive();
});

test("Y67: credit for an even id that we never allocated is fatal", () => {
  inEveryWay(
    (afterReceive) => accepted({}, { afterReceive }).harness,
    wu(2, 1_000),
    (harness) => harness.expectFatal(),
  );
});

test("Y68: data in flight for a closed stream is discarded up to its window", () => {
  for (const piece of [0, 1_000]) {
    const { harness, stream } = accepted({}, held);
    harness.receive(data(1, pattern(1_000)));
    stream.live.reset();
    harness.settle();
    harness.transport.clear();
    feedInPieces(harness, data(1, pattern(DEFAULT_WINDOW - 1_000)), piece);
    harness.settle();
    harness.expectSent();
    assert.equal(stream.receivedBytes, 1_000);
    harness.expectAlive();
    harness.receive(dataHeader(1, 1));
    harness.expectFatal();
  }
});

test("Y69: data for an id that was never open is fatal on the header", () => {
  inEveryWay(
    (afterReceive) => accepted({}, { afterReceive }).harness,
    dataHeader(77, 1),
    (harness) => harness.expectFatal(),
  );
});

test("Y69: the data in flight of 200 busy streams that we reset at once is discarded", () => {
  const harness = new Harness("server", {}, { accepts: true, afterReceive: "keep", ...held });
  for (let n = 0; n < 200; n++) harness.receive(syn(1 + 2 * n));
  for (const one of harness.announced) one.live.reset();
  harness.settle();
  assert.equal(harness.session.streamCount, 0);
  harness.transport.clear();
  for (const one of harness.announced) {
    const small = data(one.live.id, pattern(4_096));
    const inFlight = concat(Array.from({ length: 64 }, () => small));
    harness.receive(inFlight, fin(one.live.id));
  }
  harness.expectSent();
  harness.expectAlive();
});

test("Y69: data that left behind the FIN of a finished stream is discarded, up to the window", () => {
  const finished = (): Harness => {
    const harness = new Harness("server", {}, { accepts: true, afterReceive: "keep", ...held });
    harness.receive(syn(1), fin(1));
    harness.inbound().live.end();
    harness.settle();
    assert.equal(harness.session.streamCount, 0);
    return harness;
  };
  const harness = finished();
  harness.receive(data(1, pattern(DEFAULT_WINDOW)));
  harness.expectAlive();
  harness.receive(dataHeader(1, 1));
  harness.expectFatal();
});

test("Y69: the allowances of finished streams do not add up beyond what a session may hold", () => {
  const options = { maxSessionRecvBufferBytes: MIB };
  const harness = new Harness("server", options, { accepts: true, afterReceive: "keep", ...held });
  for (let n = 0; n < 20; n++) {
    harness.receive(syn(1 + 2 * n), fin(1 + 2 * n));
    harness.inbound(n).live.end();
    harness.settle();
  }
  for (let sent = 0; sent < MIB; sent += DEFAULT_WINDOW) {
    harness.receive(data(1, pattern(DEFAULT_WINDOW)));
    harness.expectAlive();
  }
  harness.receive(dataHeader(1, 1));
  harness.expectFatal();
});

test("Y70: SYN with Data above the default window is fatal before anything is announced", () => {
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { accepts: true, afterReceive }),
    dataHeader(1, DEFAULT_WINDOW + 1, FLAG.SYN),
    (harness) => {
      assert.equal(harness.announced.length, 0);
      harness.expectFatal();
    },
  );
  const exact = new Harness("server", { initialWindowBytes: MIB }, { accepts: true, ...held });
  exact.receive(data(1, pattern(DEFAULT_WINDOW), FLAG.SYN));
  assert.equal(exact.inbound().receivedBytes, DEFAULT_WINDOW);
  exact.expectAlive();
});

test("Y71: credit flows on after our own FIN", () => {
  const { harness, stream } = accepted();
  stream.live.end();
  harness.settle();
  harness.expectSent(fin(1));
  for (let n = 0; n < 8; n++) harness.receive(data(1, pattern(131_072)));
  const credits = harness.sent();
  assert.equal(credits.length, 8);
  assert.ok(credits.every((one) => one.flags === 0 && one.length === 131_072));
  assert.equal(stream.receivedBytes, MIB);
});

test("Y72: no credit after the peer's FIN, however much is read", () => {
  const { harness, stream } = accepted({}, held);
  harness.receive(data(1, pattern(DEFAULT_WINDOW)), fin(1));
  stream.live.consume(131_072);
  harness.settle();
  stream.live.consume(131_072);
  harness.settle();
  harness.expectSent();
});

test("Y72: a credit that was due in the turn in which FIN arrived is not sent", () => {
  const { harness } = accepted();
  harness.receive(data(1, pattern(200_000)), fin(1));
  harness.expectSent();
});

test("Y73: alone, 1 MiB leaves as one frame", () => {
  const { harness, streams } = opened(1, 2 * MIB);
  streams[0]?.live.write(pattern(MIB));
  harness.settle();
  harness.expectSent(data(1, pattern(MIB)));
});

test("Y73: while others wait, frames have at most 16 KiB and take turns", () => {
  const { harness, streams } = opened(3, 2 * MIB);
  harness.fill();
  for (const stream of streams) stream.live.write(pattern(MIB));
  harness.settle();
  assert.equal(payloadSent(harness), 0, "above high water no data leaves");
  harness.unfill();
  const sent = harness.sent();
  assert.equal(payloadSent(harness), 3 * MIB);
  let waiting = 3;
  const left = new Map(streams.map((stream) => [stream.live.id, MIB]));
  for (const [index, one] of sent.entries()) {
    if (waiting > 1) assert.ok(one.length <= 16_384, `frame ${index} has ${one.length} bytes`);
    const previous = sent[index - 1];
    if (waiting > 1) assert.notEqual(one.id, previous?.id, "the streams take turns");
    const rest = (left.get(one.id) ?? 0) - one.length;
    left.set(one.id, rest);
    if (rest === 0) waiting--;
  }
});

test("what many streams have to send leaves in messages that are one segment over loopback, four turns each", () => {
  const { harness, streams } = opened(4, MIB);
  harness.fill();
  for (const stream of streams) stream.live.write(pattern(100_000));
  harness.settle();
  harness.unfill();
  const sizes = harness.transport.messages.map((message) => message.length);
  // One segment of 65,483 bytes has room for the WebSocket's header of 4 bytes, too.
  assert.ok(sizes.filter((size) => size > 65_000).length >= 5, sizes.join(" "));
  assert.ok(Math.max(...sizes) <= 65_479, sizes.join(" "));
});

test("an open that writes more than its window keeps the rest until credit comes", () => {
  const harness = new Harness("client");
  const stream = harness.open();
  stream.live.write(pattern(300_000));
  harness.settle();
  assert.equal(payloadSent(harness), DEFAULT_WINDOW);
  harness.receive(ack(1, 10_000));
  assert.equal(payloadSent(harness), DEFAULT_WINDOW + 10_000);
  harness.receive(rst(1));
  expectClosed(stream.error, "remote");
  harness.receive(ping(1));
  harness.expectSentPong(1);
});
