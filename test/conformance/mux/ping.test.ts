import assert from "node:assert/strict";
import { test } from "node:test";
import { expectClosed } from "../../support/mux/errors.ts";
import { inEveryWay } from "../../support/mux/every-way.ts";
import {
  concat,
  data,
  FLAG,
  frame,
  notation,
  parseFrames,
  pattern,
  ping,
  pong,
  syn,
  TYPE,
  wu,
} from "../../support/mux/frames.ts";
import { Harness } from "../../support/mux/harness.ts";
import { heapUsedBytes } from "../../support/mux/heap.ts";

const MIB = 1_048_576;
const server = (afterReceive: "overwrite" | "detach" | "keep") =>
  new Harness("server", {}, { afterReceive });

test("Y93: a ping is answered with its value", () => {
  inEveryWay(server, ping(0xdeadbeef), (harness) => harness.expectSent(pong(0xdeadbeef)));
  inEveryWay(server, concat([ping(0), ping(0xffffffff)]), (harness) =>
    harness.expectSent(pong(0), pong(0xffffffff)),
  );
});

test("Y94: the reply overtakes 4 MiB of queued data", () => {
  const harness = new Harness("server", {}, { accepts: true });
  harness.receive(syn(1, 8 * MIB));
  harness.fill();
  harness.inbound().live.write(pattern(4 * MIB));
  harness.settle();
  harness.transport.clear();
  harness.receive(ping(0x1234));
  assert.deepEqual(harness.sentNotation(), ["Ping+ACK(0,1234)"]);
  harness.receive(ping(0x5678));
  harness.transport.clear();
  harness.feed(ping(0x9abc));
  harness.unfill();
  const frames = harness.sent().map(notation);
  assert.equal(frames.indexOf("Ping+ACK(0,9abc)"), 0, "in front of the queue");
});

test("Y94: a reply overtakes data that was written earlier in the same turn and still waits", () => {
  const harness = new Harness("server", {}, { accepts: true });
  harness.receive(syn(1, 8 * MIB), syn(3, 8 * MIB));
  harness.fill();
  for (const stream of harness.announced) stream.live.write(pattern(MIB));
  harness.feed(ping(1));
  harness.unfill();
  const [first] = harness.transport.messages;
  assert.ok(first !== undefined);
  assert.equal(harness.sentNotation()[0], "Ping+ACK(0,1)");
});

test("Y95: a ping on a stream id is answered on id 0", () => {
  inEveryWay(server, frame(TYPE.PING, FLAG.SYN, 5, 77), (harness) => harness.expectSent(pong(77)));
});

test("Y96: SYN with ACK on a ping is a request", () => {
  inEveryWay(server, frame(TYPE.PING, FLAG.SYN | FLAG.ACK, 0, 78), (harness) =>
    harness.expectSent(pong(78)),
  );
});

for (const flags of [0, FLAG.ACK, FLAG.FIN, FLAG.RST, 0xfff0]) {
  test(`Y97: a ping reply of unknown value with flags ${flags} is ignored`, () => {
    inEveryWay(server, frame(TYPE.PING, flags, 0, 0x77777777), (harness) => {
      harness.expectSent();
      harness.expectAlive();
    });
  });
}

test("Y98: the second reply to our ping is ignored", () => {
  const harness = new Harness("server", {}, { pongs: false });
  const [value] = harness.ownPings;
  assert.ok(value !== undefined);
  harness.clock.advance(40);
  harness.receive(pong(value));
  assert.equal(harness.session.rttMs, 40);
  harness.clock.advance(5);
  harness.receive(pong(value));
  assert.equal(harness.session.rttMs, 40, "it does not change the estimate");
  harness.expectSent();
  harness.expectAlive();
});

test("Y98: unsolicited replies are counted as no-ops", () => {
  const harness = new Harness("server", {}, { pongs: false });
  const [value] = harness.ownPings;
  assert.ok(value !== undefined);
  harness.receive(pong(value));
  for (let n = 0; n < 1_000; n++) harness.receive(pong(value));
  harness.expectAlive();
  harness.receive(pong(value), pong(value));
  harness.expectFatal(1, 1008);
});

test("Y99: an unanswered ping is no reason to end while data arrives", () => {
  const harness = new Harness("server", {}, { accepts: true, pongs: false });
  harness.receive(syn(1));
  for (let second = 0; second < 180; second += 5) {
    harness.advance(5_000);
    harness.receive(data(1, "busy"));
  }
  harness.expectAlive();
  assert.equal(harness.inbound().closes, 0);
});

test("Y99: part of a frame counts as a sign of life", () => {
  const harness = new Harness("server", {}, { accepts: true, pongs: false });
  harness.receive(syn(1));
  const slow = data(1, pattern(60));
  for (let at = 0; at < slow.length; at++) {
    harness.advance(5_000);
    harness.receive(slow.subarray(at, at + 1));
  }
  assert.equal(harness.session.isOpen, true);
  assert.equal(harness.inbound().receivedBytes, 60);
});

test("Y100: silence for interval and timeout terminates the transport", () => {
  const harness = new Harness(
    "server",
    { keepAliveJitter: 0 },
    { accepts: true, pongs: false, finishesClose: false },
  );
  harness.receive(syn(1));
  harness.transport.clear();
  harness.advance(29_000);
  assert.equal(harness.transport.messages.length, 0);
  harness.advance(2_000);
  const [asked] = parseFrames(harness.transport.bytes());
  assert.ok(asked !== undefined && asked.type === TYPE.PING && asked.flags === FLAG.SYN);
  harness.advance(8_500);
  assert.equal(harness.transport.terminations, 0);
  harness.advance(1_500);
  assert.equal(harness.transport.terminations, 1);
  assert.deepEqual(harness.transport.closes, [], "no handshake");
  const types = parseFrames(harness.transport.bytes()).map((one) => one.type);
  assert.ok(!types.includes(TYPE.GO_AWAY), "no point in GoAway");
  expectClosed(harness.inbound().error, "transport");
  assert.equal(harness.inbound().ended, false);
  assert.equal(harness.closes.length, 1);
  harness.session.transportClosed(1006);
  assert.equal(harness.closes.length, 1);
  assert.equal(harness.inbound().closes, 1);
});

test("Y100: the reply of an idle peer puts off the next tick, that of a peer with a stream does not", () => {
  const options = { keepAliveJitter: 0 };
  const idle = new Harness("server", options, { pongs: false });
  const [value] = idle.ownPings;
  assert.ok(value !== undefined);
  idle.clock.advance(40);
  idle.receive(pong(value));
  assert.equal(idle.session.dueAt, idle.clock.now() + 30_000);
  const busy = new Harness("server", options, { accepts: true, pongs: false });
  busy.receive(syn(1));
  const { dueAt } = busy.session;
  busy.receive(pong(value));
  assert.ok(busy.session.dueAt <= dueAt);
});

test("Y100: a reply in time keeps an idle session for hours, with at most one ping outstanding", () => {
  const harness = new Harness("client");
  harness.advance(3 * 3_600_000);
  harness.expectAlive();
  const count = harness.ownPings.length;
  assert.ok(count > 250 && count < 500, `${count} pings in three hours`);
});

test("Y100: jitter keeps a fleet from pinging in step", () => {
  const firstPings = new Set<number>();
  for (let n = 0; n < 20; n++) {
    const harness = new Harness("server");
    let waited = 0;
    while (harness.ownPings.length < 2 && waited < 50_000) {
      harness.advance(250);
      waited += 250;
    }
    assert.ok(waited >= 24_000 && waited <= 30_250, `${waited} ms`);
    firstPings.add(waited);
  }
  assert.ok(firstPings.size > 3, "the intervals differ");
});

test("Y100: a ping that leaves late still has the whole time-out for its reply", () => {
  const harness = new Harness("server", { keepAliveJitter: 0 }, { pongs: false });
  const [first] = harness.ownPings;
  assert.ok(first !== undefined);
  harness.receive(pong(first));
  // A tick that comes 6 s late, as in a process that was busy.
  harness.clock.advance(36_000);
  harness.session.tick();
  harness.settle();
  assert.equal(harness.ownPings.length, 2);
  harness.advance(9_500);
  assert.equal(harness.session.isOpen, true);
  harness.advance(500);
  assert.equal(harness.session.isOpen, false);
});

const pings = (count: number) => concat(Array.from({ length: count }, (_, n) => ping(n)));

test("Y101: of 1000 pings in one message at most 20 are answered, and the 200th dropped ends it", () => {
  const few = new Harness("server");
  few.receive(pings(219));
  assert.equal(few.sent().length, 20);
  few.expectSent(...few.sent().map((one) => pong(one.length)));
  assert.equal(few.session.isOpen, true);
  few.receive(ping(1));
  few.expectFatal(1, 1008);

  const many = new Harness("server");
  many.receive(pings(1_000));
  const replies = many.sent().filter((one) => one.type === TYPE.PING);
  assert.ok(replies.length <= 20, `${replies.length} replies`);
  many.expectFatal(1, 1008);
});

test("Y101: the budget refills at 5 a second", () => {
  const harness = new Harness("server");
  harness.receive(pings(30));
  harness.transport.clear();
  harness.advance(2_000);
  harness.transport.clear();
  harness.receive(pings(30));
  assert.equal(harness.sent().length, 10);
});

test("Y101: a ping flood leaves no memory behind", () => {
  const harness = new Harness("server");
  const flood = pings(50);
  const rounds = (count: number) => {
    for (let n = 0; n < count; n++) {
      harness.advance(10_000);
      harness.receive(flood);
      harness.transport.clear();
      harness.ownPings.length = 0;
    }
  };
  rounds(200);
  const before = heapUsedBytes();
  rounds(300);
  const growth = heapUsedBytes() - before;
  assert.ok(growth < 500_000, `the heap grew by ${growth} bytes`);
  assert.equal(harness.session.isOpen, true);
});

test("section 12.3: data pauses while our ping is unanswered for 3 s, and resumes with the reply", () => {
  const harness = new Harness("server", { keepAliveJitter: 0 }, { accepts: true, pongs: false });
  const [first] = harness.ownPings;
  assert.ok(first !== undefined);
  harness.receive(pong(first), syn(1, 8 * MIB));
  harness.advance(31_000);
  const second = harness.ownPings[1];
  assert.ok(second !== undefined);
  harness.advance(3_500);
  harness.transport.clear();
  harness.inbound().live.write(pattern(1_000));
  harness.settle();
  harness.receive(ping(9));
  harness.expectSent(pong(9));
  harness.receive(pong(second));
  harness.expectSent(data(1, pattern(1_000)));
  harness.receive(wu(1, 64));
});

test("section 8: without a ping at the start the round trip is measured with the first stream", () => {
  const harness = new Harness("client", { pingAtStart: false }, { pongs: false });
  assert.deepEqual(harness.ownPings, []);
  harness.clock.advance(5_000);
  const first = harness.open();
  first.live.write(pattern(3));
  harness.settle();
  assert.equal(harness.transport.messages.length, 1, "the ping is no message of its own");
  harness.open();
  harness.settle();
  assert.deepEqual(harness.ownPings, [1], "once");
  harness.clock.advance(40);
  harness.receive(pong(1));
  assert.equal(harness.session.rttMs, 40);
});

test("section 8: without a ping at the start the first data of an inbound stream is answered by one", () => {
  const harness = new Harness("server", { pingAtStart: false }, { accepts: true });
  harness.receive(syn(1));
  assert.deepEqual(harness.ownPings, []);
  harness.receive(data(1, pattern(10)));
  harness.receive(data(1, pattern(10)));
  assert.deepEqual(harness.ownPings, [1], "once");
});

test("section 8: a session without a ping at the start still pings a silent peer", () => {
  const harness = new Harness("client", { pingAtStart: false, keepAliveJitter: 0 });
  harness.clock.advance(30_000);
  harness.session.tick();
  harness.settle();
  assert.deepEqual(harness.ownPings, [1]);
});

test("the round trip of the last half minute counts in whole milliseconds, rounded up", () => {
  const harness = new Harness("server", { keepAliveJitter: 0 }, { pongs: false });
  const answerAfter = (ms: number): void => {
    harness.clock.advance(ms);
    harness.receive(pong(harness.ownPings.at(-1) ?? 0));
  };
  answerAfter(4.25);
  harness.advance(30_000);
  answerAfter(9.25);
  assert.equal(harness.session.rttMs, 5);
});
