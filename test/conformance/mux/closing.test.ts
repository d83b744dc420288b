import assert from "node:assert/strict";
import { test } from "node:test";
import { codeThrownBy, expectClosed } from "../../support/mux/errors.ts";
import { inEveryWay } from "../../support/mux/every-way.ts";
import {
  ack,
  concat,
  DEFAULT_WINDOW,
  data,
  FLAG,
  fin,
  pattern,
  rst,
  syn,
  TYPE,
  wu,
} from "../../support/mux/frames.ts";
import { Harness, type HarnessBehaviour, type RecordingStream } from "../../support/mux/harness.ts";
import { heapUsedBytes } from "../../support/mux/heap.ts";

const MIB = 1_048_576;
const held = { stream: { consumes: false } } as const;

/** A server that has accepted stream 1; what it sent is cleared. */
function accepted(behaviour: HarnessBehaviour = {}): { harness: Harness; stream: RecordingStream } {
  const harness = new Harness("server", {}, { accepts: true, ...behaviour });
  harness.receive(syn(1));
  harness.transport.clear();
  return { harness, stream: harness.inbound() };
}

function payloadSent(harness: Harness): number {
  return harness.sent().reduce((sum, one) => sum + one.payload.length, 0);
}

test("Y74: FIN is sent once, after all queued data", () => {
  const { harness, stream } = accepted();
  stream.live.write(pattern(DEFAULT_WINDOW + 100));
  stream.live.end();
  harness.settle();
  assert.deepEqual(harness.sentNotation(), [`Data(1,${DEFAULT_WINDOW})`]);
  harness.transport.clear();
  harness.receive(wu(1, 50_000));
  assert.deepEqual(harness.sentNotation(), ["Data(1,100)", "WU+FIN(1,0)"]);
  harness.transport.clear();
  stream.live.end();
  harness.settle();
  harness.expectSent();
  assert.equal(stream.live.localEnded, true);
  assert.equal(
    codeThrownBy(() => stream.live.write(pattern(1))),
    "ERR_MUX_STREAM_CLOSED",
  );
});

test("Y75: the last data and FIN are two frames", () => {
  const { harness, stream } = accepted();
  stream.live.write(pattern(700));
  stream.live.end();
  harness.settle();
  assert.equal(harness.transport.messages.length, 1, "they may share a message, and do");
  harness.expectSent(data(1, pattern(700)), fin(1));
  const large = accepted();
  large.stream.live.write(pattern(100_000));
  large.stream.live.end();
  large.harness.settle();
  large.harness.expectSent(data(1, pattern(100_000)), fin(1));
});

test("Y76: Data with FIN gives its bytes and then the end", () => {
  inEveryWay(
    (afterReceive) => accepted({ afterReceive }).harness,
    data(1, "hello", FLAG.FIN),
    (harness) => {
      const stream = harness.inbound();
      assert.equal(stream.text, "hello");
      assert.equal(stream.events.at(-1), "end");
      assert.equal(stream.events.filter((event) => event === "end").length, 1);
    },
  );
});

test("Y77: after the peer's FIN we send 100 KiB and close; the stream is gone", () => {
  const { harness, stream } = accepted();
  harness.receive(fin(1));
  stream.live.write(pattern(102_400));
  stream.live.end();
  harness.settle();
  harness.expectSent(data(1, pattern(102_400)), fin(1));
  assert.deepEqual(stream.events, ["end", "close"]);
  assert.equal(stream.live.closed, true);
  assert.equal(harness.session.streamCount, 0);
  harness.receive(wu(1, 10));
  harness.expectSent();
  harness.expectAlive();
});

test("Y78: after our FIN the peer sends 1 MiB with credit, and FIN", () => {
  const { harness, stream } = accepted();
  stream.live.end();
  harness.settle();
  const payload = pattern(MIB);
  for (let at = 0; at < MIB; at += 65_536) harness.receive(data(1, payload.slice(at, at + 65_536)));
  harness.receive(fin(1));
  assert.equal(Buffer.compare(concat(stream.chunks), payload), 0);
  assert.deepEqual(stream.events.slice(-2), ["end", "close"]);
  assert.equal(harness.session.streamCount, 0);
});

test("Y79: FINs that cross close the stream once, without error", () => {
  const { harness, stream } = accepted();
  stream.live.end();
  harness.feed(fin(1));
  harness.settle();
  harness.expectSent(fin(1));
  assert.deepEqual(stream.events, ["end", "close"]);
  assert.equal(harness.session.streamCount, 0);
  harness.expectAlive();
});

test("Y80: a second FIN is ignored and counted", () => {
  const { harness, stream } = accepted();
  harness.receive(fin(1));
  for (let n = 0; n < 1_000; n++) harness.receive(fin(1));
  harness.expectAlive();
  assert.deepEqual(stream.events, ["end"]);
  harness.receive(fin(1), fin(1));
  harness.expectFatal(1, 1008);
});

test("Y81: data after the peer's FIN resets that stream alone", () => {
  inEveryWay(
    (afterReceive) => {
      const { harness } = accepted({ afterReceive });
      harness.receive(syn(3), fin(1));
      return harness;
    },
    concat([data(1, "too late"), data(3, "fine")]),
    (harness) => {
      harness.expectSent(rst(1));
      assert.equal(harness.inbound(0).receivedBytes, 0);
      assert.equal(harness.inbound(0).closes, 1);
      assert.notEqual(harness.inbound(0).error, null);
      assert.equal(harness.inbound(1).text, "fine");
      harness.expectAlive();
    },
  );
});

test("Y82: empty Data after the peer's FIN is ignored", () => {
  const { harness, stream } = accepted();
  harness.receive(fin(1));
  harness.receive(data(1, ""));
  harness.expectSent();
  assert.equal(stream.closes, 0);
  harness.expectAlive();
});

test("Y83: FIN for an unknown odd id is ignored", () => {
  inEveryWay(
    (afterReceive) => accepted({ afterReceive }).harness,
    concat([fin(99), data(1, "x")]),
    (harness) => {
      harness.expectSent();
      assert.equal(harness.inbound().text, "x");
      harness.expectAlive();
    },
  );
});

test("Y84: a peer that closed and gives no credit is reset after stalledWriteTimeout", () => {
  const { harness, stream } = accepted();
  stream.live.write(pattern(300_000));
  harness.receive(fin(1));
  harness.transport.clear();
  harness.advance(29_000);
  harness.expectSent();
  harness.advance(2_000);
  harness.expectSent(rst(1));
  assert.equal(stream.closes, 1);
  assert.notEqual(stream.error, null);
  harness.expectAlive();
});

test("Y84: credit in time keeps the writer alive", () => {
  const { harness, stream } = accepted();
  stream.live.write(pattern(DEFAULT_WINDOW + 10_000));
  harness.receive(fin(1));
  harness.advance(25_000);
  harness.receive(wu(1, 5_000));
  harness.advance(25_000);
  assert.equal(stream.closes, 0);
  harness.receive(wu(1, 5_000));
  harness.advance(60_000);
  assert.equal(stream.closes, 0, "all is sent: nothing stalls");
});

test("Y85: the peer's FIN and silence for halfCloseTimeout end in RST", () => {
  const { harness, stream } = accepted();
  harness.receive(fin(1));
  harness.advance(238_000);
  harness.expectSent();
  harness.advance(4_000);
  harness.expectSent(rst(1));
  assert.equal(stream.closes, 1);
  assert.notEqual(stream.error, null);
  harness.expectAlive();
});

test("Y85: our FIN and a silent peer: nothing happens", () => {
  const { harness, stream } = accepted();
  stream.live.end();
  harness.settle();
  harness.transport.clear();
  harness.advance(600_000);
  harness.expectSent();
  assert.equal(stream.closes, 0);
  harness.receive(data(1, "slow handler"), fin(1));
  assert.equal(stream.text, "slow handler");
  assert.deepEqual(stream.events.slice(-2), ["end", "close"]);
});

test("Y85: data of ours restarts the half-close time", () => {
  const { harness, stream } = accepted();
  harness.receive(fin(1));
  harness.advance(200_000);
  stream.live.write(pattern(10));
  harness.settle();
  harness.advance(200_000);
  assert.equal(stream.closes, 0);
});

for (const length of [0, 12_345]) {
  test(`${length === 0 ? "Y86" : "Y87"}: RST with Length ${length} ends both directions and drops unread bytes`, () => {
    inEveryWay(
      (afterReceive) => {
        const { harness, stream } = accepted({ afterReceive, ...held });
        harness.receive(data(1, "unread"));
        stream.live.write(pattern(300_000));
        harness.settle();
        return harness;
      },
      rst(1, length),
      (harness) => {
        const stream = harness.inbound();
        assert.equal(stream.closes, 1);
        assert.equal(stream.ended, false);
        expectClosed(stream.error, "remote");
        assert.equal(stream.live.unconsumed, 0);
        assert.equal(stream.live.queuedBytes, 0);
        assert.equal(stream.live.closed, true);
        assert.equal(harness.session.streamCount, 0);
        assert.equal(
          codeThrownBy(() => stream.live.write(pattern(1))),
          "ERR_MUX_STREAM_CLOSED",
        );
        stream.live.consume(6);
        harness.settle();
        harness.expectSent();
      },
    );
  });
}

test("Y86: RST before the accept drops what was held", () => {
  const harness = new Harness("server");
  harness.receive(syn(1), data(1, "held"), rst(1));
  assert.equal(harness.session.streamCount, 0);
  assert.equal(harness.inbound().live.closed, true);
  assert.equal(harness.inbound().live.unconsumed, 0);
  harness.expectSent();
  harness.expectAlive();
});

test("Y88: the payload of Data with RST is passed over, not delivered", () => {
  inEveryWay(
    (afterReceive) => {
      const { harness } = accepted({ afterReceive });
      harness.receive(syn(3));
      return harness;
    },
    concat([data(1, "01234", FLAG.RST), data(3, "next")]),
    (harness) => {
      assert.equal(harness.inbound(0).receivedBytes, 0);
      assert.equal(harness.inbound(0).closes, 1);
      assert.equal(harness.inbound(1).text, "next");
      harness.expectSent();
    },
  );
});

test("Y89: everything that arrives after our RST is ignored", () => {
  inEveryWay(
    (afterReceive) => {
      const { harness, stream } = accepted({ afterReceive });
      stream.live.reset();
      harness.settle();
      harness.expectSent(rst(1));
      return harness;
    },
    concat([data(1, "in flight"), wu(1, 500), data(1, "more", FLAG.FIN), fin(1), rst(1)]),
    (harness) => {
      harness.expectSent();
      assert.deepEqual(harness.inbound().events, [], "no event follows our own reset");
      harness.expectAlive();
    },
  );
});

test("Y90: a local reset is one RST, drops the queue of its stream and no other", () => {
  const { harness, stream } = accepted();
  harness.receive(syn(3));
  const other = harness.inbound(1);
  harness.transport.clear();
  harness.fill();
  stream.live.write(pattern(50_000));
  other.live.write(pattern(20_000));
  stream.live.reset();
  stream.live.reset();
  harness.settle();
  harness.expectSent(rst(1));
  harness.unfill();
  assert.equal(payloadSent(harness), 20_000);
  assert.ok(harness.sent().every((one) => one.id === 3));
  assert.equal(stream.closes, 0);
  assert.equal(other.closes, 0);
});

test("Y90: data written and reset in the same turn leaves nothing after the RST", () => {
  const { harness, stream } = accepted();
  stream.live.write(pattern(100));
  stream.live.reset();
  harness.settle();
  const sent = harness.sentNotation();
  assert.equal(sent.at(-1), "WU+RST(1,0)");
  assert.equal(sent.filter((one) => one.includes("RST")).length, 1);
});

test("Y91: a reset before the ACK sends RST and no ACK", () => {
  const harness = new Harness("server");
  harness.receive(syn(1));
  harness.inbound().live.reset();
  harness.settle();
  harness.expectSent(rst(1));
  harness.expectAlive();
});

test("a stream that is opened and reset in one turn leaves no trace or SYN before RST", () => {
  const harness = new Harness("client");
  const stream = harness.open();
  stream.live.write(pattern(10));
  stream.live.reset();
  harness.settle();
  const sent = harness.sentNotation();
  if (sent.length > 0) {
    assert.equal(sent[0], "WU+SYN(1,0)");
    assert.equal(sent.at(-1), "WU+RST(1,0)");
  }
  assert.equal(harness.session.streamCount, 0);
});

/** One open-transfer-close cycle on a stream of ours. */
function outboundCycle(harness: Harness): void {
  const stream = harness.open({ keeps: false });
  stream.live.write(small);
  harness.settle();
  const id = stream.live.id;
  harness.receive(ack(id), data(id, small), fin(id));
  stream.live.end();
  harness.settle();
  assert.equal(stream.events.at(-1), "close");
  harness.transport.clear();
}

/** One cycle on a stream of the peer's. */
function inboundCycle(harness: Harness, id: number): void {
  harness.receive(syn(id), data(id, small), fin(id));
  const stream = harness.announced.pop();
  stream?.live.write(small);
  stream?.live.end();
  harness.settle();
  assert.equal(stream?.events.at(-1), "close");
  harness.transport.clear();
}

const small = pattern(200);

test("Y92: 10000 cycles leave no stream, no timer and no memory", () => {
  const harness = new Harness("client", { guardPeer: false }, { accepts: true });
  const cycle = (n: number) => {
    outboundCycle(harness);
    inboundCycle(harness, 2 + 2 * n);
  };
  for (let n = 0; n < 1_000; n++) cycle(n);
  const before = heapUsedBytes();
  for (let n = 1_000; n < 5_000; n++) cycle(n);
  assert.equal(harness.session.streamCount, 0);
  const growth = heapUsedBytes() - before;
  assert.ok(growth < 300_000, `the heap grew by ${growth} bytes`);
  const due = harness.session.tick() - harness.clock.now();
  assert.ok(due > 5_000, `nothing but the keepalive is due (in ${due} ms)`);
  harness.expectAlive();
});

test("Y92: no frame but credit, FIN and RST closes a stream", () => {
  const { harness, stream } = accepted();
  harness.receive(data(1, pattern(1)));
  stream.live.end();
  harness.receive(fin(1));
  const types = harness.sent().map((one) => one.type);
  assert.ok(types.every((type) => type === TYPE.WINDOW_UPDATE));
});

test("a stream that its handler resets at the end of data hears no more", () => {
  const harness = new Harness("client");
  const stream = harness.open();
  stream.live.end();
  harness.settle();
  stream.onEvent = () => stream.live.reset();
  harness.receive(ack(1), fin(1));
  assert.deepEqual(stream.events, ["end"]);
  assert.equal(harness.session.streamCount, 0);
  harness.expectAlive();
});

test("a transport that drops while a waiting open starts: streams hear of it before the session does", () => {
  const harness = new Harness("client", { maxUnackedOpens: 1 });
  const refused = harness.open();
  const waiting = harness.open();
  waiting.live.write(pattern(100_000));
  harness.settle();
  const told: string[] = [];
  for (const [name, one] of Object.entries({ refused, waiting })) {
    one.onEvent = () => told.push(`${name} before ${harness.closes.length}`);
  }
  harness.transport.drops = true;
  harness.receive(rst(1));
  assert.deepEqual(told, ["refused before 0", "waiting before 0"]);
  assert.equal(harness.closes.length, 1);
});

test("opens that wait are told once and before the session, when the first of them closes the session", () => {
  const harness = new Harness("client", { maxUnackedOpens: 1 });
  const streams = Array.from({ length: 5 }, () => harness.open());
  harness.settle();
  const told: number[] = [];
  for (const one of streams) {
    one.onEvent = () => {
      told.push(harness.closes.length);
      harness.session.close(1000, "from a callback", null);
    };
  }
  harness.session.drain(1001, "drain");
  harness.settle();
  assert.deepEqual(told, [0, 0, 0, 0, 0]);
  assert.equal(harness.session.streamCount, 0);
});

test("an open that waits may be reset while the end of the session is told", () => {
  const harness = new Harness("client", { maxUnackedOpens: 1 });
  const live = harness.open();
  const waiting = harness.open();
  harness.settle();
  live.onEvent = () => waiting.live.reset();
  harness.session.transportClosed(1006);
  assert.equal(live.closes, 1);
  assert.equal(waiting.closes, 0);
  assert.equal(harness.session.streamCount, 0);
  assert.equal(harness.closes.length, 1);
});
