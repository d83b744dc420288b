import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../src/core/clock.ts";
import { MuxPools } from "../../../src/mux/index.ts";
import {
  ack,
  concat,
  DEFAULT_WINDOW,
  data,
  FLAG,
  hex,
  pattern,
  ping,
  pong,
  rst,
  syn,
  TYPE,
  wu,
} from "../../support/mux/frames.ts";
import { Harness, type RecordingStream } from "../../support/mux/harness.ts";
import { heapUsedBytes } from "../../support/mux/heap.ts";

const MIB = 1_048_576;
const quiet = { stream: { keeps: false, consumes: false }, afterReceive: "keep" } as const;

/** Feeds `count` frames in messages of `batch`, a turn each; returns the growth of the heap in bytes. */
function flood(
  harness: Harness,
  count: number,
  batch: number,
  frameAt: (n: number) => Uint8Array,
): number {
  const before = heapUsedBytes();
  for (let n = 0; n < count; n += batch) {
    const size = Math.min(batch, count - n);
    harness.receive(concat(Array.from({ length: size }, (_, k) => frameAt(n + k))));
    if (harness.session.isOpen) harness.transport.clear();
  }
  return heapUsedBytes() - before;
}

test("Y119: 100000 times SYN and RST reach the application no more often than the budget", () => {
  const harness = new Harness("server", {}, { accepts: true, ...quiet });
  const growth = flood(harness, 100_000, 500, (n) => concat([syn(1 + 2 * n), rst(1 + 2 * n)]));
  // The SYN of the pair that breaks the budget is announced before its RST is known.
  assert.ok(harness.announced.length <= 201, `${harness.announced.length} streams`);
  harness.expectFatal(1, 1008);
  assert.ok(growth < MIB, `the heap grew by ${growth} bytes`);
});

test("Y119: the budget refills at 20 a second", () => {
  const harness = new Harness("server", {}, { accepts: true, ...quiet });
  const pairs = (count: number, from: number) =>
    concat(Array.from({ length: count }, (_, n) => concat([syn(from + 2 * n), rst(from + 2 * n)])));
  harness.receive(pairs(200, 1));
  harness.advance(5_000);
  harness.receive(pairs(100, 1_001));
  harness.expectAlive();
  harness.receive(pairs(2, 2_001));
  harness.expectFatal(1, 1008);
});

test("Y119: an agent, whose peer is its own relay, has no such budget", () => {
  const harness = new Harness("server", { guardPeer: false }, { accepts: true, ...quiet });
  for (let n = 0; n < 5_000; n++) harness.receive(syn(1 + 2 * n), rst(1 + 2 * n));
  harness.expectAlive();
  assert.equal(harness.session.streamCount, 0);
});

test("Y120: of 100000 SYNs without accept 256 are queued, the others refused until 1008", () => {
  const harness = new Harness("server", {}, quiet);
  let refused = 0;
  harness.transport.onMessage = (message) => {
    refused += message.length / 12;
  };
  const growth = flood(harness, 100_000, 100, (n) => syn(1 + 2 * n));
  assert.equal(harness.announced.length, 256);
  assert.ok(refused <= 2_200, `${refused} frames were sent`);
  harness.expectFatal(1, 1008);
  assert.ok(growth < MIB, `the heap grew by ${growth} bytes`);
});

test("Y121: 1000000 empty Data frames end by the no-op budget", () => {
  const harness = new Harness("server", {}, { accepts: true, ...quiet });
  harness.receive(syn(1));
  const empty = data(1, "");
  harness.receive(concat(Array.from({ length: 900 }, () => empty)));
  harness.expectAlive();
  assert.deepEqual(harness.inbound().events, []);
  const growth = flood(harness, 1_000_000, 10_000, () => empty);
  harness.expectFatal(1, 1008);
  assert.ok(growth < MIB, `the heap grew by ${growth} bytes`);
});

test("Y121: empty messages are counted as well", () => {
  const harness = new Harness("server");
  for (let n = 0; n < 1_000; n++) harness.receive(new Uint8Array(0));
  harness.expectAlive();
  harness.receive(new Uint8Array(0));
  harness.receive(new Uint8Array(0));
  harness.expectFatal(1, 1008);
});

test("Y122: 1000000 credits of one byte cost nothing that lasts", () => {
  const harness = new Harness("server", {}, { accepts: true, ...quiet });
  harness.receive(syn(1));
  harness.transport.clear();
  const message = concat(Array.from({ length: 10_000 }, () => wu(1, 1)));
  const before = heapUsedBytes();
  for (let n = 0; n < 100; n++) harness.receive(message);
  assert.ok(heapUsedBytes() - before < MIB);
  if (!harness.session.isOpen) return harness.expectFatal(1, 1008);
  harness.expectSent();
  harness.inbound().live.write(pattern(2 * MIB));
  harness.settle();
  const sent = harness.sent().reduce((sum, one) => sum + one.length, 0);
  assert.equal(sent, DEFAULT_WINDOW + 1_000_000);
});

test("Y122: with data waiting, credit by the byte gives no small frames", () => {
  const harness = new Harness("server", {}, { accepts: true, ...quiet });
  harness.receive(syn(1));
  harness.inbound().live.write(pattern(DEFAULT_WINDOW + 5_000));
  harness.settle();
  harness.transport.clear();
  for (let n = 0; n < 5_000; n++) harness.receive(wu(1, 1));
  const sizes = harness.sent().map((one) => one.length);
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    5_000,
    "all leaves in the end",
  );
  for (const size of sizes.slice(0, -1)) assert.ok(size >= 1_024, `frames of ${sizes}`);
});

test("Y122: credit that lets the whole queue go is used at once, however small", () => {
  const harness = new Harness("server", {}, { accepts: true, ...quiet });
  harness.receive(syn(1));
  harness.inbound().live.write(pattern(DEFAULT_WINDOW + 3));
  harness.settle();
  harness.transport.clear();
  harness.receive(wu(1, 2));
  harness.expectSent();
  harness.receive(wu(1, 1));
  assert.deepEqual(harness.sentNotation(), ["Data(1,3)"]);
});

/** Bytes that the session holds for its streams. */
function heldBytes(harness: Harness): number {
  return harness.announced.reduce((sum, one) => sum + one.live.unconsumed, 0);
}

for (const accepts of [true, false]) {
  test(`Y123: 1024 full windows that nobody reads (${accepts ? "accepted" : "waiting"}) stay within the session's limit`, () => {
    const pools = new MuxPools();
    const harness = new Harness(
      "server",
      { guardPeer: false, acceptBacklog: 1024 },
      { accepts, ...quiet, pools },
    );
    const other = new Harness("server", {}, { accepts: true, pools });
    const full = data(1, pattern(DEFAULT_WINDOW));
    let most = 0;
    let resets = 0;
    for (let n = 0; n < 1_024; n++) {
      const id = 1 + 2 * n;
      new DataView(full.buffer).setUint32(4, id);
      harness.receive(syn(id), full);
      most = Math.max(most, heldBytes(harness));
      resets += harness.sent().filter((one) => one.flags & FLAG.RST).length;
      harness.transport.clear();
    }
    assert.ok(most <= 16 * MIB, `${most} bytes were held`);
    assert.ok(resets >= 950, `${resets} streams were reset`);
    assert.equal(harness.session.isOpen, true);
    assert.equal(harness.session.streamCount, 1_024 - resets);
    other.receive(syn(1), data(1, "not affected"));
    assert.equal(other.inbound().text, "not affected");
    other.expectAlive();
  });
}

test("Y123: the stream that holds most is the one that is reset", () => {
  const harness = new Harness(
    "server",
    { maxSessionRecvBufferBytes: MIB },
    { accepts: true, ...quiet },
  );
  const holdings = [100_000, 262_144, 200_000, 150_000, 250_000];
  for (const [n, bytes] of holdings.entries()) {
    harness.receive(syn(1 + 2 * n), data(1 + 2 * n, pattern(bytes)));
  }
  harness.receive(syn(21));
  harness.transport.clear();
  harness.receive(data(21, pattern(120_000)));
  harness.expectSent(rst(3));
  assert.equal(harness.inbound(1).closes, 1);
  assert.equal((harness.inbound(1).error as { code: string }).code, "ERR_MUX_RECV_BUFFER_FULL");
  assert.equal(harness.session.streamCount, 5);
  harness.expectAlive();
});

/** Lets a session measure a round trip of `ms`, and answers no further ping. */
function measured(harness: Harness, ms: number): void {
  const [value] = harness.ownPings;
  assert.ok(value !== undefined);
  harness.clock.advance(ms);
  harness.receive(pong(value));
  assert.equal(harness.session.rttMs, ms);
}

test("Y124: fast readers grow their windows only as far as the pools allow", () => {
  const pools = new MuxPools({ maxWindowPoolBytes: 6 * MIB });
  const harness = new Harness(
    "server",
    { guardPeer: false },
    { accepts: true, stream: { keeps: false }, afterReceive: "keep", pongs: false, pools },
  );
  measured(harness, 100);
  const ids = Array.from({ length: 20 }, (_, n) => 1 + 2 * n);
  for (const id of ids) harness.receive(syn(id));
  const granted = new Map(ids.map((id) => [id, DEFAULT_WINDOW]));
  const consumed = new Map(ids.map((id) => [id, 0]));
  const block = pattern(131_072);
  for (let round = 0; round < 60; round++) {
    harness.transport.clear();
    for (const id of ids) {
      const open = (granted.get(id) ?? 0) - (consumed.get(id) ?? 0);
      if (open < block.length) continue;
      harness.receive(data(id, block));
      consumed.set(id, (consumed.get(id) ?? 0) + block.length);
    }
    for (const one of harness.sent()) {
      if (one.type === TYPE.WINDOW_UPDATE && one.flags === 0) {
        granted.set(one.id, (granted.get(one.id) ?? 0) + one.length);
      }
    }
    harness.clock.advance(5);
  }
  let beyond = 0;
  for (const id of ids) {
    const window = (granted.get(id) ?? 0) - (consumed.get(id) ?? 0);
    assert.ok(window <= 4 * MIB, `stream ${id} has a window of ${window}`);
    beyond += Math.max(0, window - DEFAULT_WINDOW);
  }
  assert.ok(beyond > MIB, `windows do grow: ${beyond} bytes beyond the first`);
  assert.ok(beyond <= 6 * MIB, `${beyond} bytes beyond the first window, 6 MiB in the pool`);
  for (const one of harness.announced) one.live.reset();
  harness.settle();
  const again = new Harness(
    "server",
    {},
    { accepts: true, stream: { keeps: false }, pongs: false, pools },
  );
  assert.ok(growsTo(again, 1) > MIB, "what ended streams had is back in the pool");
});

/** Reads fast on one stream of a session with a round trip of 100 ms; returns the window it comes to. */
function growsTo(harness: Harness, id: number): number {
  measured(harness, 100);
  harness.receive(syn(id));
  let window = DEFAULT_WINDOW;
  for (let round = 0; round < 40; round++) {
    harness.transport.clear();
    const size = Math.min(window, 131_072);
    harness.receive(data(id, pattern(size)));
    window -= size;
    for (const one of harness.sent()) {
      if (one.type === TYPE.WINDOW_UPDATE && one.flags === 0) window += one.length;
    }
    harness.clock.advance(5);
  }
  return window;
}

test("Y124: a window grows by fast reading alone, and to its ceiling", () => {
  const behaviour = { accepts: true, stream: { keeps: false }, pongs: false } as const;
  const fast = new Harness("server", { maxWindowBytes: MIB }, behaviour);
  const window = growsTo(fast, 1);
  assert.ok(window > MIB / 2 && window <= MIB, `${window}`);
  const slow = new Harness("server", {}, behaviour);
  measured(slow, 10);
  slow.receive(syn(1));
  slow.transport.clear();
  for (let n = 0; n < 10; n++) {
    slow.receive(data(1, pattern(131_072)));
    slow.advance(1_000);
  }
  const credits = slow.sent().filter((one) => one.type === TYPE.WINDOW_UPDATE);
  assert.ok(credits.every((one) => one.length === 131_072));
});

test("Y125: a peer that sends requests and reads no reply leaves the queues bounded", () => {
  const harness = new Harness("server", {}, { accepts: true, stream: { keeps: false } });
  harness.transport.stuck = true;
  const reply = pattern(100_000);
  let refusing: RecordingStream[] = [];
  for (let n = 0; n < 200; n++) {
    harness.receive(syn(1 + 2 * n, MIB), data(1 + 2 * n, "GET"));
    const one = harness.inbound(n);
    while (one.live.isWritable) one.live.write(reply);
    refusing.push(one);
    harness.settle();
  }
  refusing = refusing.filter((one) => !one.live.isWritable);
  assert.equal(refusing.length, 200, "every writer sees backpressure");
  const queued = harness.announced.reduce((sum, one) => sum + one.live.queuedBytes, 0);
  assert.ok(queued <= 4 * MIB + reply.length, `${queued} bytes are queued`);
  assert.ok(harness.transport.buffered < MIB, `${harness.transport.buffered} bytes handed over`);
  for (let second = 0; second < 35 && harness.session.isOpen; second++) {
    harness.advance(1_000);
    if (harness.session.isOpen) harness.receive(ping(second));
  }
  assert.deepEqual(harness.transport.closeCodes(), [1008]);
});

test("Y126: 100 small streams beside an endless one are each served within one round", () => {
  const harness = new Harness("client");
  const endless = harness.open();
  const small = Array.from({ length: 100 }, () => harness.open());
  harness.settle();
  for (const one of [endless, ...small]) harness.receive(ack(one.live.id, 8 * MIB));
  harness.fill();
  endless.live.write(pattern(2 * MIB));
  for (const one of small) one.live.write(pattern(1_024));
  harness.settle();
  harness.transport.clear();
  harness.unfill();
  const sent = harness.sent();
  const lastSmall = sent.findLastIndex((one) => one.id !== endless.live.id);
  const ofEndless = sent.slice(0, lastSmall).filter((one) => one.id === endless.live.id);
  assert.equal(new Set(sent.slice(0, lastSmall + 1).map((one) => one.id)).size, 101);
  const bytes = ofEndless.reduce((sum, one) => sum + one.length, 0);
  assert.ok(bytes <= 2 * 16_384, `${bytes} bytes of the endless stream went first`);
});

test("Y127: a malformed frame on one session leaves the others alone", () => {
  const pools = new MuxPools();
  const clock = new ManualClock(5);
  const behaviour = { accepts: true, pools, clock } as const;
  const [bad, good] = [new Harness("server", {}, behaviour), new Harness("server", {}, behaviour)];
  for (const harness of [bad, good]) harness.receive(syn(1));
  bad.inbound().live.write(pattern(500));
  good.inbound().live.write(pattern(600));
  bad.receive(hex("00 09 0000 00000001 00000000"));
  bad.expectFatal();
  good.settle();
  good.expectSent(ack(1), data(1, pattern(600)));
  good.receive(data(1, "fine"));
  assert.equal(good.inbound().text, "fine");
  good.expectAlive();
});

test("section 12.1: above half of the session's buffer the largest holder waits for its credit", () => {
  const harness = new Harness(
    "server",
    { initialWindowBytes: 400_000, maxSessionRecvBufferBytes: 411_000 },
    { accepts: true, ...quiet },
  );
  harness.receive(syn(1), syn(3));
  harness.receive(data(1, pattern(400_000)), data(3, pattern(10_000)));
  harness.transport.clear();
  const [large, small] = [harness.inbound(0).live, harness.inbound(1).live];
  large.consume(200_000);
  harness.settle();
  harness.expectSent();
  large.consume(5_000);
  harness.settle();
  harness.expectSent(wu(1, 205_000));
  small.consume(10_000);
  harness.settle();
  assert.equal(harness.session.isOpen, true);
});

test("section 12.1: when the process is full, the session that holds most loses its largest stream", () => {
  const pools = new MuxPools({ maxRecvBufferBytes: 4 * MIB });
  const behaviour = { accepts: true, ...quiet, pools } as const;
  const greedy = new Harness("server", {}, behaviour);
  const modest = new Harness("server", {}, behaviour);
  for (let n = 0; n < 13; n++) {
    greedy.receive(syn(1 + 2 * n), data(1 + 2 * n, pattern(DEFAULT_WINDOW - n)));
  }
  modest.receive(syn(1), syn(3), syn(5), syn(7));
  for (const id of [1, 3, 5]) modest.receive(data(id, pattern(250_000)));
  assert.equal(greedy.session.streamCount, 13);
  greedy.transport.clear();
  modest.transport.clear();
  modest.receive(data(7, pattern(100_000)));
  greedy.settle();
  assert.equal(modest.session.streamCount, 4);
  assert.ok(greedy.session.streamCount < 13);
  assert.equal(greedy.inbound(0).closes, 1, "the largest stream of the greedy session");
  assert.ok(pools.recvHeldBytes <= 4 * MIB);
  modest.expectAlive();
  greedy.expectAlive();
});

test("section 12.2: tiny frames above 50000 a second are abuse after 5 seconds, not before", () => {
  const tiny = concat(Array.from({ length: 1_000 }, () => data(1, "x")));
  const harness = new Harness(
    "server",
    {},
    { accepts: true, stream: { keeps: false }, afterReceive: "keep" },
  );
  harness.receive(syn(1));
  const second = (thousands: number) => {
    for (let n = 0; n < thousands; n++) harness.feed(tiny);
    harness.settle();
    harness.clock.advance(1_000);
  };
  for (let n = 0; n < 6; n++) second(40);
  harness.expectAlive();
  for (let n = 0; n < 3; n++) second(60);
  second(10);
  harness.expectAlive();
  for (let n = 0; n < 8 && harness.session.isOpen; n++) second(60);
  harness.expectFatal(1, 1008);
});
