import assert from "node:assert/strict";
import { test } from "node:test";
import type { Role } from "../../../src/mux/index.ts";
import { feedInPieces, inEveryWay } from "../../support/mux/every-way.ts";
import {
  ack,
  concat,
  DEFAULT_WINDOW,
  data,
  dataHeader,
  FLAG,
  fin,
  frame,
  goAway,
  hex,
  parseFrames,
  pattern,
  ping,
  pong,
  rst,
  syn,
  TYPE,
  wu,
} from "../../support/mux/frames.ts";
import { Harness, type HarnessBehaviour } from "../../support/mux/harness.ts";
import { heapUsedBytes } from "../../support/mux/heap.ts";

const MIB = 1_048_576;

/** Section 1.1, as bytes. */
const golden = {
  open: hex("00 01 0001 00000001 00000000"),
  openMebibyte: hex("00 01 0001 00000001 000c0000"),
  accept: hex("00 01 0002 00000001 00000000"),
  data: hex("00 00 0000 00000001 00000005 68656c6c6f"),
  credit: hex("00 01 0000 00000001 00020000"),
  halfClose: hex("00 01 0004 00000001 00000000"),
  reset: hex("00 01 0008 00000001 00000000"),
  ping: hex("00 02 0001 00000000 deadbeef"),
  pong: hex("00 02 0002 00000000 deadbeef"),
  goAwayNormal: hex("00 03 0000 00000000 00000000"),
  goAwayProtocol: hex("00 03 0000 00000000 00000001"),
  goAwayInternal: hex("00 03 0000 00000000 00000002"),
};

/** A session of `role` with stream 1 open and acknowledged. */
function withStreamOne(role: Role, behaviour: HarnessBehaviour = {}): Harness {
  const harness = new Harness(role, {}, { accepts: true, ...behaviour });
  if (role === "server") harness.receive(syn(1));
  else {
    const opened = harness.open();
    harness.settle();
    harness.receive(ack(1));
    harness.announced.push(opened);
  }
  harness.transport.clear();
  return harness;
}

test("Y1: every golden frame is encoded to exactly those bytes", () => {
  const client = new Harness("client");
  const stream = client.open();
  client.settle();
  client.expectSent(golden.open);
  client.receive(ack(1));
  stream.live.write(hex("68656c6c6f"));
  client.settle();
  client.expectSent(golden.data);
  client.receive(data(1, pattern(131_072)));
  client.expectSent(golden.credit);
  stream.live.end();
  client.settle();
  client.expectSent(golden.halfClose);
  stream.live.reset();
  client.settle();
  client.expectSent(golden.reset);
  client.receive(ping(0xdeadbeef));
  client.expectSent(golden.pong);

  const large = new Harness("client", { initialWindowBytes: MIB });
  large.open();
  large.settle();
  large.expectSent(golden.openMebibyte);

  const server = new Harness("server", {}, { accepts: true });
  server.receive(syn(1));
  server.expectSent(golden.accept);
  server.session.drain();
  server.settle();
  server.expectSent(golden.goAwayNormal);

  const wronged = new Harness("server");
  wronged.receive(hex("01 00 0000 00000000 00000000"));
  wronged.expectSent(golden.goAwayProtocol);
  const internal = new Harness("server");
  internal.session.close(1011, "internal failure", 2);
  internal.settle();
  internal.expectSent(golden.goAwayInternal);
});

test("Y1: our own ping request is type 2 with SYN on stream 0", () => {
  const harness = new Harness("client", { keepAliveJitter: 0 }, { pongs: false });
  const first = harness.ownPings[0];
  assert.ok(
    first !== undefined,
    "a ping goes out right after the start, to measure the round trip",
  );
  harness.receive(pong(first));
  harness.advance(31_000);
  const [sent] = harness.transport.frames();
  assert.deepEqual(
    { type: sent?.type, flags: sent?.flags, id: sent?.id, length: sent?.length },
    { type: 2, flags: 1, id: 0, length: first + 1 },
    "the value is a counter",
  );
});

/** What each golden frame means to a session that has stream 1 (save for the first rows). */
const meanings: readonly {
  name: keyof typeof golden;
  setup: (behaviour: HarnessBehaviour) => Harness;
  check: (harness: Harness) => void;
}[] = [
  {
    name: "open",
    setup: (behaviour) => new Harness("server", {}, behaviour),
    check: (harness) => assert.equal(harness.inbound().live.id, 1),
  },
  {
    name: "openMebibyte",
    setup: (behaviour) => new Harness("server", {}, behaviour),
    check: (harness) => {
      harness.accept().live.write(pattern(MIB + 5));
      harness.settle();
      assert.equal(sentPayload(harness), MIB);
    },
  },
  {
    name: "accept",
    setup: (behaviour) => {
      const harness = new Harness("client", {}, behaviour);
      harness.announced.push(harness.open());
      harness.settle();
      return harness;
    },
    check: (harness) => assert.equal(harness.inbound().live.acked, true),
  },
  {
    name: "data",
    setup: (behaviour) => withStreamOne("server", behaviour),
    check: (harness) => assert.equal(harness.inbound().text, "hello"),
  },
  {
    name: "credit",
    setup: (behaviour) => withStreamOne("client", behaviour),
    check: (harness) => {
      harness.inbound().live.write(pattern(500_000));
      harness.settle();
      assert.equal(sentPayload(harness), DEFAULT_WINDOW + 131_072);
    },
  },
  {
    name: "halfClose",
    setup: (behaviour) => withStreamOne("server", behaviour),
    check: (harness) => assert.deepEqual(harness.inbound().events, ["end"]),
  },
  {
    name: "reset",
    setup: (behaviour) => withStreamOne("server", behaviour),
    check: (harness) => {
      assert.equal(harness.inbound().closes, 1);
      assert.equal(harness.session.streamCount, 0);
    },
  },
  {
    name: "ping",
    setup: (behaviour) => new Harness("server", {}, behaviour),
    check: (harness) => harness.expectSent(golden.pong),
  },
  {
    name: "pong",
    setup: (behaviour) => new Harness("server", {}, behaviour),
    check: (harness) => harness.expectSent(),
  },
  {
    name: "goAwayNormal",
    setup: (behaviour) => withStreamOne("server", behaviour),
    check: (harness) => {
      assert.deepEqual(harness.goAways, [0]);
      assert.equal(harness.session.goneAway, true);
      assert.equal(harness.session.isOpen, true);
    },
  },
  {
    name: "goAwayProtocol",
    setup: (behaviour) => withStreamOne("server", behaviour),
    check: (harness) => assert.equal(harness.session.isOpen, false),
  },
  {
    name: "goAwayInternal",
    setup: (behaviour) => withStreamOne("client", behaviour),
    check: (harness) => assert.equal(harness.session.isOpen, false),
  },
];

for (const { name, setup, check } of meanings) {
  test(`Y2: the golden frame "${name}" is decoded to its fields`, () => {
    inEveryWay(
      (afterReceive) => setup({ afterReceive, accepts: name !== "openMebibyte" }),
      golden[name],
      check,
    );
  });
}

test("Y2: the frame builder of the tests agrees with the golden frames in both directions", () => {
  const [open, , , hello] = [golden.open, golden.openMebibyte, golden.accept, golden.data];
  assert.deepEqual(open, syn(1));
  assert.deepEqual(hello, data(1, "hello"));
  for (const bytes of Object.values(golden)) {
    const [one, ...more] = parseFrames(bytes);
    assert.ok(one !== undefined && more.length === 0);
    assert.deepEqual(frame(one.type, one.flags, one.id, one.length, one.payload), bytes);
  }
});

test("Y3: id and Length of 0xFFFFFFFF are 4294967295, not -1", () => {
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { afterReceive }),
    syn(0xffffffff, 0xffffffff - DEFAULT_WINDOW),
    (harness) => {
      assert.equal(harness.inbound().live.id, 4_294_967_295);
      harness.accept();
      harness.settle();
      harness.expectSent(ack(0xffffffff));
    },
  );
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { afterReceive }),
    wu(0xffffffff, 0xffffffff),
    (harness) => {
      assert.equal(harness.session.isOpen, true, "credit for an unknown id of the peer is ignored");
      harness.expectSent();
    },
  );
});

test("Y4: id 0x80000001 is 2147483649", () => {
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { afterReceive }),
    syn(0x80000001),
    (harness) => assert.equal(harness.inbound().live.id, 2_147_483_649),
  );
});

/** Every type and flag that a correct peer sends, on several streams. */
const sequence = concat([
  syn(1),
  data(1, "first"),
  syn(3, 1000),
  ping(0x11223344),
  data(3, pattern(300)),
  data(5, "opened by data", FLAG.SYN),
  wu(1, 70_000),
  data(1, "second"),
  fin(1),
  data(3, "last words", FLAG.FIN),
  rst(5),
  syn(7, 0),
  data(7, ""),
  pong(99),
  goAway(0),
  data(7, pattern(40, 7)),
]);

/** All that can be seen of a session after the sequence: the events of every stream and the bytes sent. */
function outcome(pieces: readonly Uint8Array[], afterReceive: "overwrite" | "detach"): unknown {
  const harness = new Harness("server", {}, { accepts: true, afterReceive });
  for (const piece of pieces) harness.feed(piece);
  harness.settle();
  return {
    streams: harness.announced.map((one) => ({
      id: one.live.id,
      text: one.text,
      events: one.events.filter((event) => !event.startsWith("data")),
      unconsumed: one.live.unconsumed,
    })),
    goAways: harness.goAways,
    sent: harness.sentNotation(),
    streamCount: harness.session.streamCount,
  };
}

test("Y5: one-byte messages give the same events as one message", () => {
  const whole = outcome([sequence], "overwrite");
  const bytes = Array.from(sequence, (byte) => Uint8Array.of(byte));
  assert.deepEqual(outcome(bytes, "overwrite"), whole);
  assert.deepEqual(outcome(bytes, "detach"), whole);
});

test("Y6: a cut at every single position gives the same events as no cut", () => {
  const whole = outcome([sequence], "overwrite");
  for (let cut = 1; cut < sequence.length; cut++) {
    const pieces = [sequence.slice(0, cut), sequence.slice(cut)];
    assert.deepEqual(
      outcome(pieces, cut % 2 === 0 ? "overwrite" : "detach"),
      whole,
      `cut at ${cut}`,
    );
  }
});

test("Y7: ten frames in one message are processed in order", () => {
  inEveryWay(
    (afterReceive) => withStreamOne("server", { afterReceive }),
    concat(Array.from({ length: 10 }, (_, index) => data(1, String(index)))),
    (harness) => assert.equal(harness.inbound().text, "0123456789"),
  );
});

test("Y8: header in one message and payload in the next are delivered", () => {
  for (const afterReceive of ["overwrite", "detach"] as const) {
    const harness = withStreamOne("server", { afterReceive });
    const payload = pattern(100_000);
    harness.receive(dataHeader(1, payload.length));
    harness.receive(payload);
    harness.receive(data(1, "next"));
    const received = concat(harness.inbound().chunks);
    assert.equal(Buffer.compare(received, concat([payload, Buffer.from("next")])), 0);
  }
});

test("Y9: a message boundary inside a payload, with a new header after the rest", () => {
  const harness = withStreamOne("server");
  const [first, second] = [data(1, "abcdefgh"), data(1, "ijkl")];
  harness.receive(first.subarray(0, 15));
  harness.receive(first.subarray(15), second.subarray(0, 5));
  harness.receive(second.subarray(5), ping(7));
  assert.equal(harness.inbound().text, "abcdefghijkl");
  harness.expectSent(pong(7));
});

test("Y10: an empty message between two halves of a header is ignored", () => {
  const harness = withStreamOne("server");
  const bytes = data(1, "hello");
  harness.receive(bytes.subarray(0, 6));
  harness.receive(new Uint8Array(0));
  harness.receive(bytes.subarray(6));
  assert.equal(harness.inbound().text, "hello");
  harness.expectAlive();
});

test("Y11: no payload is consumed after a window update of any Length", () => {
  inEveryWay(
    (afterReceive) => withStreamOne("server", { afterReceive }),
    concat([wu(1, 1_000_000), ping(1)]),
    (harness) => harness.expectSent(pong(1)),
  );
});

test("Y12: no payload is consumed after a ping of Length 5", () => {
  inEveryWay(
    (afterReceive) => withStreamOne("server", { afterReceive }),
    concat([ping(5), data(1, "x")]),
    (harness) => {
      assert.equal(harness.inbound().text, "x");
      harness.expectSent(pong(5));
    },
  );
});

test("Y13: frames after GoAway(0) in the same message are still processed", () => {
  inEveryWay(
    (afterReceive) => withStreamOne("server", { afterReceive }),
    concat([goAway(0), data(1, "after"), ping(3)]),
    (harness) => {
      assert.equal(harness.inbound().text, "after");
      harness.expectSent(pong(3));
    },
  );
});

const badHeaders: readonly [rule: string, what: string, bytes: Uint8Array][] = [
  ["Y14", "version 1 on a window update", hex("01 01 0001 00000001 00000000")],
  ["Y14", "version 1 on type 255", hex("01 ff ffff ffffffff ffffffff")],
  ["Y14", "version 255", hex("ff 00 0000 00000001 00000000")],
  ["Y15", "type 4", hex("00 04 0000 00000001 00000000")],
  ["Y15", "type 255", hex("00 ff 0001 00000001 00000005")],
];

for (const [rule, what, bytes] of badHeaders) {
  test(`${rule}: ${what} is fatal`, () => {
    inEveryWay(
      (afterReceive) => withStreamOne("server", { afterReceive }),
      bytes,
      (harness) => {
        harness.expectFatal();
        assert.equal(harness.inbound().closes, 1);
        assert.notEqual(harness.inbound().error, null);
        assert.equal(harness.inbound().ended, false);
      },
    );
  });
}

test("Y16: undefined flag bits on a SYN are ignored", () => {
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { accepts: true, afterReceive }),
    wu(1, 0, 0xfff0 | FLAG.SYN),
    (harness) => {
      assert.equal(harness.announced.length, 1);
      harness.expectSent(ack(1));
      harness.expectAlive();
    },
  );
});

test("Y17: a Data header that claims 4 GiB is fatal on the header alone, and allocates nothing", () => {
  inEveryWay(
    (afterReceive) => withStreamOne("server", { afterReceive }),
    dataHeader(1, 0xffffffff),
    (harness) => harness.expectFatal(),
  );
  const harness = withStreamOne("server");
  const before = process.memoryUsage().arrayBuffers;
  harness.receive(dataHeader(1, 0xffffffff));
  assert.ok(process.memoryUsage().arrayBuffers - before < 8 * MIB);
});

test("Y18: a connection that closes mid-payload is a lost transport, not an end of data", () => {
  const harness = withStreamOne("server");
  harness.receive(dataHeader(1, 100), pattern(40));
  harness.session.transportClosed(1006);
  const stream = harness.inbound();
  assert.equal(stream.ended, false);
  assert.equal(stream.closes, 1);
  assert.equal(initiatorOf(stream.error), "transport");
  assert.equal(harness.closes.length, 1);
});

test("Y20: data is unaffected by what happens to the message after the handler returned", () => {
  for (const afterReceive of ["overwrite", "detach"] as const) {
    const harness = new Harness("server", {}, { afterReceive });
    const payload = pattern(5_000);
    const bytes = concat([syn(1), data(1, payload), fin(1)]);
    feedInPieces(harness, bytes, 1_700);
    harness.settle();
    const stream = harness.accept();
    harness.settle();
    assert.equal(Buffer.compare(concat(stream.chunks), payload), 0, "held until accepted");
    assert.equal(stream.events.at(-1), "end");
  }
});

test("Y20: an idle session does not hold on to received bytes", () => {
  const harness = withStreamOne("server", { stream: { keeps: false } });
  harness.receive(data(1, pattern(1_000)));
  const before = heapUsedBytes();
  for (let round = 0; round < 2_000; round++) harness.feed(data(1, pattern(1_000)));
  harness.settle();
  assert.ok(heapUsedBytes() - before < 400_000);
});

/** Payload bytes of Data sent since the last clear. */
function sentPayload(harness: Harness): number {
  return harness
    .sent()
    .filter((one) => one.type === TYPE.DATA)
    .reduce((sum, one) => sum + one.length, 0);
}

function initiatorOf(error: unknown): unknown {
  return (error as { initiator?: unknown } | null)?.initiator;
}
