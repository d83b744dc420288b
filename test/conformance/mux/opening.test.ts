import assert from "node:assert/strict";
import { test } from "node:test";
import { codeThrownBy, expectClosed } from "../../support/mux/errors.ts";
import { ack, data, FLAG, fin, pattern, rst, syn, TYPE } from "../../support/mux/frames.ts";
import { Harness, type RecordingStream } from "../../support/mux/harness.ts";

const accepting = { accepts: true } as const;

/** A session that has opened `count` streams, none acknowledged; what it sent is cleared. */
function withUnackedOpens(count: number): { harness: Harness; streams: RecordingStream[] } {
  const harness = new Harness("server");
  const streams = Array.from({ length: count }, () => harness.open());
  harness.settle();
  return { harness, streams };
}

test("Y39: our ids as server are 2, 4, 6, 8; as client 1, 3, 5, 7", () => {
  for (const [role, first] of [
    ["server", 2],
    ["client", 1],
  ] as const) {
    const harness = new Harness(role);
    for (let n = 0; n < 4; n++) harness.open();
    harness.settle();
    harness.expectSent(syn(first), syn(first + 2), syn(first + 4), syn(first + 6));
  }
});

test("Y40: SYN and first data leave in one message, SYN first", () => {
  const harness = new Harness("client");
  harness.open().live.write(pattern(500));
  harness.settle();
  assert.equal(harness.transport.messages.length, 1);
  harness.expectSent(syn(1), data(1, pattern(500)));
});

/** Ways in which a peer shows that it took stream 2, and what the stream sees. */
const releases = [
  {
    rule: "Y41",
    what: "ACK",
    bytes: ack(2),
    check: (one: RecordingStream) => assert.deepEqual(one.events, []),
  },
  {
    rule: "Y42",
    what: "Data without ACK",
    bytes: data(2, "hello"),
    check: (one: RecordingStream) => assert.equal(one.text, "hello"),
  },
  {
    rule: "Y43",
    what: "FIN without ACK",
    bytes: fin(2),
    check: (one: RecordingStream) => assert.deepEqual(one.events, ["end"]),
  },
  {
    rule: "Y44",
    what: "RST",
    bytes: rst(2),
    check: (one: RecordingStream) => {
      assert.equal(one.closes, 1);
      expectClosed(one.error, "remote", true);
    },
  },
] as const;

for (const { rule, what, bytes, check } of releases) {
  test(`${rule}: the 257th open waits until ${what} releases a slot`, () => {
    const { harness, streams } = withUnackedOpens(256);
    harness.transport.clear();
    const waiting = harness.open();
    waiting.live.write(pattern(9));
    harness.settle();
    harness.expectSent();
    assert.equal(waiting.live.id, 0);
    harness.receive(bytes);
    harness.expectSent(syn(514), data(514, pattern(9)));
    assert.equal(waiting.live.id, 514);
    const [first] = streams;
    assert.ok(first !== undefined);
    check(first);
    harness.open();
    harness.settle();
    harness.expectSent();
    harness.expectAlive();
  });
}

test("Y41: waiting opens leave in the order in which they came", () => {
  const { harness } = withUnackedOpens(256);
  harness.transport.clear();
  const waiting = [harness.open(), harness.open(), harness.open()];
  for (const [index, one] of waiting.entries()) one.live.write(Buffer.from(String(index)));
  harness.settle();
  harness.receive(ack(4), ack(2));
  const sent = harness.sentNotation();
  assert.deepEqual(
    sent.filter((one) => one.includes("SYN")),
    ["WU+SYN(514,0)", "WU+SYN(516,0)"],
  );
  assert.deepEqual(
    sent.filter((one) => one.includes("Data")),
    ["Data(514,1)", "Data(516,1)"],
  );
  assert.ok(sent.indexOf("WU+SYN(516,0)") < sent.indexOf("Data(516,1)"));
  harness.transport.clear();
  harness.receive(ack(6));
  harness.expectSent(syn(518), data(518, "2"));
});

test("Y44: a stream that got data before its RST is not retriable", () => {
  const { harness, streams } = withUnackedOpens(1);
  harness.receive(data(2, "part"), rst(2));
  expectClosed(streams[0]?.error ?? null, "remote", false);
});

test("Y45: a whole exchange without any ACK", () => {
  const harness = new Harness("client");
  const stream = harness.open();
  stream.live.write(Buffer.from("request"));
  stream.live.end();
  harness.settle();
  harness.expectSent(syn(1), data(1, "request"));
  harness.receive(data(1, "re"));
  harness.receive(data(1, "ply"));
  harness.receive(fin(1));
  harness.expectSent(fin(1));
  assert.equal(stream.text, "reply");
  assert.deepEqual(stream.events.slice(-2), ["end", "close"]);
  assert.equal(harness.session.streamCount, 0);
});

test("Y46: an open without answer is reset after openTimeout, alone", () => {
  const harness = new Harness("client");
  const slow = harness.open();
  harness.settle();
  harness.advance(15_000);
  const other = harness.open();
  harness.settle();
  harness.receive(ack(3));
  harness.transport.clear();
  harness.advance(14_000);
  harness.expectSent();
  harness.advance(2_000);
  harness.expectSent(rst(1));
  assert.equal(slow.closes, 1);
  assert.notEqual(slow.error, null);
  assert.equal(other.closes, 0);
  harness.advance(60_000);
  assert.equal(other.closes, 0, "an acknowledged stream has no open timer");
  harness.expectAlive();
});

test("Y47: a second ACK is ignored and releases no second slot", () => {
  const harness = new Harness("client", { maxUnackedOpens: 2 });
  for (let n = 0; n < 4; n++) harness.open();
  harness.settle();
  harness.expectSent(syn(1), syn(3));
  harness.receive(ack(1), ack(1));
  harness.receive(ack(1));
  harness.expectSent(syn(5));
  harness.expectAlive();
});

test("Y48: ACK on an inbound stream is ignored and counted", () => {
  const harness = new Harness("server", {}, accepting);
  harness.receive(syn(1));
  harness.transport.clear();
  for (let n = 0; n < 1_000; n++) harness.receive(ack(1));
  harness.expectSent();
  harness.expectAlive();
  harness.receive(ack(1));
  harness.receive(ack(1));
  harness.expectFatal(1, 1008);
});

test("Y49: ACK for an id of ours that was never allocated is fatal", () => {
  const harness = new Harness("server");
  harness.open();
  harness.settle();
  harness.receive(ack(4));
  harness.expectFatal();
});

test("Y50: an accept that is delayed beyond ackDeadline is answered by then", () => {
  const harness = new Harness("server");
  harness.receive(syn(1));
  harness.advance(8_000);
  harness.expectSent();
  harness.advance(2_500);
  const sent = harness.sentNotation();
  assert.equal(sent.length, 1);
  assert.match(sent[0] ?? "", /^WU\+(ACK|RST)\(1,0\)$/);
  harness.expectAlive();
});

test("Y50: after an ACK by the deadline, a late accept sends no second one", () => {
  const harness = new Harness("server");
  harness.receive(syn(1));
  harness.advance(10_500);
  if (harness.sentNotation()[0] !== "WU+ACK(1,0)") return;
  harness.transport.clear();
  harness.accept();
  harness.settle();
  harness.expectSent();
});

test("Y51: open fails when the ids are used up, and the session lives on", () => {
  const harness = new Harness("client");
  const stream = harness.open();
  harness.settle();
  harness.receive(ack(1));
  skipIdsTo(harness, 0xfffffffd);
  harness.transport.clear();
  const last = harness.open();
  harness.settle();
  harness.expectSent(syn(0xfffffffd));
  assert.equal(last.live.id, 0xfffffffd);
  assert.equal(
    codeThrownBy(() => harness.open()),
    "ERR_MUX_STREAMS_EXHAUSTED",
  );
  assert.equal(harness.session.canOpen, false);
  stream.live.write(pattern(3));
  harness.settle();
  harness.expectSent(data(1, pattern(3)));
  harness.expectAlive();
});

test("Y133: FIN waits for the ACK, data does not", () => {
  const harness = new Harness("client");
  const stream = harness.open();
  stream.live.write(pattern(30));
  stream.live.end();
  harness.settle();
  harness.expectSent(syn(1), data(1, pattern(30)));
  harness.advance(500);
  harness.expectSent();
  harness.receive(ack(1));
  harness.expectSent(fin(1));
  harness.advance(5_000);
  harness.expectSent();
});

/** A client stream as in Y134: its FIN left by finHold, nothing was heard. */
function withHeldFin(count = 1): { harness: Harness; streams: RecordingStream[] } {
  const harness = new Harness("client");
  const streams = Array.from({ length: count }, () => harness.open());
  for (const stream of streams) {
    stream.live.write(pattern(30));
    stream.live.end();
  }
  harness.settle();
  harness.transport.clear();
  harness.advance(1_250);
  harness.expectSent(...streams.map((one) => fin(one.live.id)));
  return { harness, streams };
}

test("Y134: FIN leaves after finHold without ACK, and openTimeout does not reset the stream", () => {
  const { harness, streams } = withHeldFin();
  harness.advance(60_000);
  harness.expectSent();
  harness.receive(ack(1));
  harness.receive(data(1, "late"), fin(1));
  assert.equal(streams[0]?.text, "late");
  assert.deepEqual(streams[0]?.events.slice(-2), ["end", "close"]);
  harness.expectSent();
  harness.expectAlive();
});

test("Y135: first sign of life is Data, 60 s after the FIN", () => {
  const { harness, streams } = withHeldFin();
  harness.advance(60_000);
  harness.receive(data(1, "slow handler"));
  harness.receive(fin(1));
  assert.equal(streams[0]?.text, "slow handler");
  assert.deepEqual(streams[0]?.events.slice(-2), ["end", "close"]);
  assert.equal(harness.session.streamCount, 0);
  harness.expectAlive();
});

test("Y136: 256 such streams give their slots back after openTimeout, without RST", () => {
  const { harness } = withHeldFin(256);
  const waiting = harness.open();
  harness.settle();
  harness.expectSent();
  harness.advance(29_500);
  const sent = harness.sent();
  assert.equal(sent.filter((one) => one.flags & FLAG.RST).length, 0, "no RST was sent");
  assert.deepEqual(harness.sentNotation(), ["WU+SYN(513,0)"]);
  assert.equal(waiting.live.id, 513);
  harness.expectAlive();
});

test("an open that waits for a slot fails after openTimeout, retriable", () => {
  const harness = new Harness("client", { maxUnackedOpens: 1 });
  harness.open();
  const waiting = harness.open();
  harness.settle();
  harness.advance(31_000);
  assert.equal(waiting.closes, 1);
  assert.equal((waiting.error as unknown as { retriable: boolean }).retriable, true);
  assert.equal(waiting.live.closed, true);
});

test("open fails with its code when too many wait or too many are open", () => {
  const queue = new Harness("client", { maxUnackedOpens: 1, maxWaitingOpens: 2 });
  for (let n = 0; n < 3; n++) queue.open();
  assert.equal(
    codeThrownBy(() => queue.open()),
    "ERR_MUX_OPEN_QUEUE_FULL",
  );
  const many = new Harness("client", { maxOutboundStreams: 2 });
  for (let n = 0; n < 2; n++) many.open();
  assert.equal(
    codeThrownBy(() => many.open()),
    "ERR_MUX_TOO_MANY_STREAMS",
  );
});

/** Makes `next` the id of the next outbound stream. There is no public way: two billion opens would do the same. */
function skipIdsTo(harness: Harness, next: number): void {
  const fields = harness.session as unknown as Record<string, unknown>;
  const name = Object.keys(fields).find((key) => /next.*id/i.test(key));
  assert.ok(name !== undefined, "the session keeps its next id in a field");
  fields[name] = next;
}

test("Y39: window updates carry no payload when streams are opened", () => {
  const harness = new Harness("client");
  harness.open();
  harness.settle();
  assert.ok(harness.sent().every((one) => one.type === TYPE.WINDOW_UPDATE && one.length === 0));
});
