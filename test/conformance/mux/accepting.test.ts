import assert from "node:assert/strict";
import { test } from "node:test";
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
  wu,
} from "../../support/mux/frames.ts";
import { Harness } from "../../support/mux/harness.ts";

const MIB = 1_048_576;
const accepting = { accepts: true } as const;

/** Feeds one SYN an id, each in its turn. */
function receiveSyns(harness: Harness, ids: readonly number[]): void {
  for (const id of ids) harness.receive(syn(id));
}

function payloadSent(harness: Harness): number {
  return harness.sent().reduce((sum, one) => sum + one.payload.length, 0);
}

test("Y21: an accepted SYN is acknowledged exactly once", () => {
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { accepts: true, afterReceive }),
    syn(1),
    (harness) => harness.expectSent(ack(1)),
  );
  const harness = new Harness("server");
  harness.receive(syn(1));
  harness.expectSent();
  const stream = harness.accept();
  harness.settle();
  harness.expectSent(ack(1));
  stream.live.write(pattern(10));
  stream.live.end();
  harness.settle();
  harness.expectSent(data(1, pattern(10)), fin(1));
});

test("Y22: an initial window of 1 MiB is granted on SYN and on ACK", () => {
  const harness = new Harness("server", { initialWindowBytes: MIB }, accepting);
  harness.open();
  harness.settle();
  harness.expectSent(syn(2, 786_432));
  harness.receive(syn(1));
  harness.expectSent(ack(1, 786_432));
});

test("Y23: the Length of a SYN is credit", () => {
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { accepts: true, afterReceive }),
    syn(1, 100_000),
    (harness) => {
      harness.inbound().live.write(pattern(500_000));
      harness.settle();
      assert.equal(payloadSent(harness), 362_144);
    },
  );
});

test("Y24: SYN on a Data frame announces the stream and charges its window", () => {
  const held = { consumes: false };
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { accepts: true, stream: held, afterReceive }),
    data(1, "hello", FLAG.SYN),
    (harness) => {
      assert.equal(harness.inbound().text, "hello");
      assert.equal(harness.inbound().live.unconsumed, 5);
    },
  );
  const harness = new Harness("server", {}, { stream: held });
  harness.receive(data(1, "hello", FLAG.SYN));
  assert.equal(harness.inbound().live.unconsumed, 5, "held before the accept counts too");
  harness.receive(data(1, pattern(262_139)));
  assert.equal(harness.session.isOpen, true);
  harness.receive(data(1, "!"));
  harness.expectFatal();
});

test("Y25: SYN, Data and FIN before the accept", () => {
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { afterReceive }),
    concat([syn(1), data(1, "request"), fin(1)]),
    (harness) => {
      assert.deepEqual(harness.inbound().events, []);
      const stream = harness.accept();
      harness.settle();
      assert.equal(stream.text, "request");
      assert.equal(stream.events.at(-1), "end");
      harness.expectSent(ack(1));
      stream.live.write(pattern(20));
      stream.live.end();
      harness.settle();
      harness.expectSent(data(1, pattern(20)), fin(1));
      assert.equal(stream.events.at(-1), "close");
    },
  );
});

test("Y26: SYN with FIN gives the end at once, and the other direction works", () => {
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { accepts: true, afterReceive }),
    wu(1, 0, FLAG.SYN | FLAG.FIN),
    (harness) => {
      const stream = harness.inbound();
      assert.deepEqual(stream.events, ["end"]);
      stream.live.write(pattern(3));
      stream.live.end();
      harness.settle();
      harness.expectSent(ack(1), data(1, pattern(3)), fin(1));
      assert.deepEqual(stream.events, ["end", "close"]);
    },
  );
});

test("Y27: SYN with RST announces and answers nothing", () => {
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { accepts: true, afterReceive }),
    wu(1, 0, FLAG.SYN | FLAG.RST),
    (harness) => {
      assert.equal(harness.announced.length, 0);
      harness.expectSent();
      harness.expectAlive();
    },
  );
});

test("Y27: SYN with RST is charged to the early-reset budget of 200", () => {
  const harness = new Harness("server", {}, accepting);
  for (let n = 0; n < 200; n++) harness.receive(wu(1 + 2 * n, 0, FLAG.SYN | FLAG.RST));
  harness.expectAlive();
  harness.receive(wu(401, 0, FLAG.SYN | FLAG.RST));
  harness.expectFatal(1, 1008);
  assert.equal(harness.announced.length, 0);
});

test("Y28: ACK on a SYN is ignored", () => {
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { accepts: true, afterReceive }),
    wu(1, 0, FLAG.SYN | FLAG.ACK),
    (harness) => {
      harness.expectSent(ack(1));
      harness.expectAlive();
    },
  );
});

test("Y29: a SYN of our own parity is fatal and names a role mismatch", () => {
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { accepts: true, afterReceive }),
    syn(2),
    (harness) => {
      harness.expectFatal();
      assert.equal(harness.announced.length, 0);
      assert.match(harness.closes[0]?.message ?? "", /\brole/i);
    },
  );
});

test("Y30: as client, a SYN of an odd id is fatal and of an even id is accepted", () => {
  const wrong = new Harness("client", {}, accepting);
  wrong.receive(syn(1));
  wrong.expectFatal();
  const right = new Harness("client", {}, accepting);
  right.receive(syn(2));
  right.expectSent(ack(2));
});

for (const [what, bytes] of [
  ["a window update", syn(0)],
  ["a Data frame", data(0, "x", FLAG.SYN)],
] as const) {
  test(`Y31: SYN on id 0 by ${what} is fatal`, () => {
    inEveryWay(
      (afterReceive) => new Harness("server", {}, { afterReceive }),
      bytes,
      (harness) => harness.expectFatal(),
    );
  });
}

test("Y32: a second SYN for a live id is fatal", () => {
  for (const accepts of [true, false]) {
    for (const second of [syn(1), data(1, "x", FLAG.SYN)]) {
      const harness = new Harness("server", {}, { accepts });
      harness.receive(syn(1));
      harness.receive(second);
      harness.expectFatal();
      assert.equal(harness.announced.length, 1);
    }
  }
});

test("Y33: SYN ids out of order are all accepted", () => {
  inEveryWay(
    (afterReceive) => new Harness("server", {}, { accepts: true, afterReceive }),
    concat([syn(7), syn(3), syn(5), syn(1)]),
    (harness) => {
      assert.deepEqual(
        harness.announced.map((one) => one.live.id),
        [7, 3, 5, 1],
      );
      harness.expectSent(ack(7), ack(3), ack(5), ack(1));
      harness.expectAlive();
    },
  );
});

test("Y34: the id of a fully closed stream may be opened anew", () => {
  const harness = new Harness("server", {}, accepting);
  harness.receive(syn(1), fin(1));
  harness.inbound(0).live.end();
  harness.settle();
  assert.equal(harness.session.streamCount, 0);
  harness.transport.clear();
  harness.receive(syn(1), data(1, "again"));
  assert.equal(harness.inbound(1).text, "again");
  assert.equal(harness.inbound(0).receivedBytes, 0);
  harness.expectSent(ack(1));
  harness.expectAlive();
});

test("Y35: SYN 0xFFFFFFFF is accepted", () => {
  const harness = new Harness("server", {}, accepting);
  harness.receive(syn(0xffffffff));
  harness.expectSent(ack(0xffffffff));
});

test("Y36: the 257th unaccepted SYN is refused and its data discarded", () => {
  const harness = new Harness("server");
  const ids = Array.from({ length: 256 }, (_, n) => 1 + 2 * n);
  receiveSyns(harness, ids);
  harness.expectSent();
  harness.receive(syn(513));
  harness.expectSent(rst(513));
  assert.deepEqual(
    harness.announced.map((one) => one.live.id),
    ids,
  );
  harness.receive(data(513, pattern(DEFAULT_WINDOW)));
  harness.receive(fin(513));
  harness.expectSent();
  harness.expectAlive();
});

test("Y37: an accept makes room in the backlog for one more", () => {
  const harness = new Harness("server", { acceptBacklog: 3 });
  receiveSyns(harness, [1, 3, 5, 7]);
  harness.expectSent(rst(7));
  harness.accept(1);
  harness.receive(syn(9));
  harness.receive(syn(11));
  harness.expectSent(ack(3), rst(11));
  assert.deepEqual(
    harness.announced.map((one) => one.live.id),
    [1, 3, 5, 9],
  );
});

test("Y38: a SYN above maxInboundStreams is refused and the others go on", () => {
  const harness = new Harness("server", { maxInboundStreams: 3 }, accepting);
  receiveSyns(harness, [1, 3, 5]);
  harness.transport.clear();
  harness.receive(syn(7));
  harness.expectSent(rst(7));
  harness.receive(data(1, "still here"));
  assert.equal(harness.inbound(0).text, "still here");
  harness.inbound(0).live.end();
  harness.receive(fin(1));
  harness.transport.clear();
  harness.receive(syn(9));
  harness.expectSent(ack(9));
});
