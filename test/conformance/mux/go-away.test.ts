import assert from "node:assert/strict";
import { test } from "node:test";
import { codeThrownBy, expectClosed } from "../../support/mux/errors.ts";
import { inEveryWay } from "../../support/mux/every-way.ts";
import {
  ack,
  concat,
  data,
  dataHeader,
  fin,
  frame,
  goAway,
  pattern,
  ping,
  rst,
  syn,
  TYPE,
} from "../../support/mux/frames.ts";
import { Harness, type HarnessBehaviour } from "../../support/mux/harness.ts";

const MIB = 1_048_576;

/** A server with streams 1 (inbound, accepted) and 2 (outbound, acknowledged). */
function withTwoStreams(behaviour: HarnessBehaviour = {}): Harness {
  const harness = new Harness("server", {}, { accepts: true, ...behaviour });
  harness.receive(syn(1));
  harness.announced.push(harness.open());
  harness.settle();
  harness.receive(ack(2));
  harness.transport.clear();
  return harness;
}

test("Y102: after the peer's GoAway(0) open fails and the rest goes on until the last stream ends", () => {
  inEveryWay(
    (afterReceive) => withTwoStreams({ afterReceive }),
    goAway(0),
    (harness) => {
      assert.deepEqual(harness.goAways, [0]);
      assert.equal(harness.session.canOpen, false);
      assert.equal(
        codeThrownBy(() => harness.session.open(harness.inbound())),
        "ERR_MUX_GOING_AWAY",
      );
      assert.deepEqual(harness.transport.closeCodes(), []);
      assert.equal(harness.inbound(0).closes + harness.inbound(1).closes, 0);
    },
  );
  const harness = withTwoStreams();
  harness.receive(goAway(0));
  harness.receive(syn(3), data(3, "new"), fin(3));
  harness.inbound(2).live.end();
  harness.settle();
  assert.equal(harness.inbound(2).text, "new");
  harness.expectSent(ack(3), fin(3));
  for (const [index, id] of [1, 2].entries()) {
    assert.deepEqual(harness.transport.closeCodes(), []);
    harness.inbound(index).live.write(pattern(5));
    harness.inbound(index).live.end();
    harness.receive(data(id, "last"), fin(id));
    assert.deepEqual(harness.inbound(index).events.slice(-2), ["end", "close"]);
  }
  assert.deepEqual(harness.transport.closeCodes(), [1000]);
  assert.equal(harness.closes.length, 1);
});

test("Y102: streams that do not end are cut when drainTimeout is over", () => {
  const harness = withTwoStreams();
  harness.receive(goAway(0));
  harness.advance(29_000);
  assert.deepEqual(harness.transport.closeCodes(), []);
  harness.advance(2_000);
  assert.deepEqual(harness.transport.closeCodes(), [1000]);
  assert.equal(harness.inbound(0).closes, 1);
  assert.notEqual(harness.inbound(0).error, null);
  assert.equal(harness.inbound(0).ended, false);
});

test("Y102: with no stream open the transport closes without delay", () => {
  const harness = new Harness("client");
  harness.receive(goAway(0));
  harness.advance(1_000);
  assert.deepEqual(harness.transport.closeCodes(), [1000]);
});

for (const code of [1, 2, 99, 0xffffffff]) {
  test(`Y103: the peer's GoAway(${code}) fails all streams and is not answered`, () => {
    inEveryWay(
      (afterReceive) => withTwoStreams({ afterReceive }),
      concat([goAway(code), data(1, "after")]),
      (harness) => {
        harness.expectSent();
        assert.deepEqual(harness.transport.closeCodes(), [1000]);
        for (const stream of harness.announced) {
          assert.equal(stream.closes, 1);
          assert.notEqual(stream.error, null);
          assert.equal(stream.ended, false);
          assert.equal(stream.receivedBytes, 0);
        }
        assert.equal(harness.closes.length, 1);
        assert.equal(harness.session.streamCount, 0);
      },
    );
  });
}

test("Y104: id and flags of a GoAway do not matter", () => {
  inEveryWay(
    (afterReceive) => withTwoStreams({ afterReceive }),
    frame(TYPE.GO_AWAY, 0xf, 7, 0),
    (harness) => {
      assert.deepEqual(harness.goAways, [0]);
      assert.equal(harness.announced.length, 2);
      harness.expectAlive();
    },
  );
  inEveryWay(
    (afterReceive) => withTwoStreams({ afterReceive }),
    frame(TYPE.GO_AWAY, 0xf, 7, 1),
    (harness) => assert.equal(harness.session.isOpen, false),
  );
});

test("Y104: of several GoAways the worst counts", () => {
  const harness = withTwoStreams();
  harness.receive(goAway(0), goAway(0));
  harness.expectAlive();
  harness.receive(goAway(1));
  assert.equal(harness.session.isOpen, false);
  assert.equal(harness.closes.length, 1);
});

test("Y105: after our GoAway(0) a SYN is refused and existing streams go on", () => {
  const harness = withTwoStreams();
  harness.session.drain(1001, "shutting down");
  harness.settle();
  harness.expectSent(goAway(0));
  assert.equal(
    codeThrownBy(() => harness.session.open(harness.inbound())),
    "ERR_MUX_GOING_AWAY",
  );
  harness.receive(syn(3), data(3, "refused"));
  harness.expectSent(rst(3));
  assert.equal(harness.announced.length, 2);
  harness.receive(data(1, "goes on"));
  assert.equal(harness.inbound(0).text, "goes on");
  for (const [index, id] of [1, 2].entries()) {
    harness.inbound(index).live.write(pattern(3));
    harness.inbound(index).live.end();
    harness.receive(fin(id));
    assert.equal(harness.inbound(index).error, null);
  }
  assert.deepEqual(harness.transport.closes, [{ code: 1001, reason: "shutting down" }]);
});

test("Y105: an accepted stream waits for its end, also one that was announced before the drain", () => {
  const harness = new Harness("server");
  harness.receive(syn(1));
  harness.session.drain();
  harness.settle();
  harness.expectSent(goAway(0));
  const stream = harness.accept();
  harness.receive(data(1, "x"), fin(1));
  stream.live.end();
  harness.settle();
  harness.expectSent(ack(1), fin(1));
  assert.equal(stream.error, null);
  assert.deepEqual(harness.transport.closeCodes(), [1000]);
});

test("Y105: drain cuts at its own timeout", () => {
  const harness = withTwoStreams();
  harness.session.drain(1012, "restart", 5_000);
  harness.settle();
  harness.advance(4_000);
  assert.deepEqual(harness.transport.closeCodes(), []);
  harness.advance(2_000);
  assert.deepEqual(harness.transport.closes, [{ code: 1012, reason: "restart" }]);
  assert.equal(harness.inbound(0).closes, 1);
  assert.notEqual(harness.inbound(0).error, null);
});

test("section 13.4: a displaced tunnel drains without GoAway", () => {
  const harness = withTwoStreams();
  harness.session.drainSilently(4409, "displaced", 5_000);
  harness.settle();
  harness.expectSent();
  harness.receive(syn(3));
  harness.expectSent(rst(3));
  harness.inbound(0).live.end();
  harness.inbound(1).live.end();
  harness.receive(fin(1), fin(2));
  assert.deepEqual(harness.transport.closes, [{ code: 4409, reason: "displaced" }]);
  assert.ok(harness.sent().every((one) => one.type !== TYPE.GO_AWAY));
});

test("Y106: on a fatal error GoAway(1) is sent and queued data is not", () => {
  const harness = withTwoStreams();
  harness.fill();
  harness.inbound(0).live.write(pattern(200_000));
  harness.inbound(1).live.write(pattern(200_000));
  harness.receive(syn(2));
  assert.deepEqual(harness.sentNotation(), ["GoAway(1)"]);
  harness.unfill();
  harness.expectFatal();
  assert.deepEqual(harness.sentNotation(), ["GoAway(1)"]);
});

test("Y106: data held back by the window is dropped as well", () => {
  const harness = withTwoStreams();
  harness.inbound(0).live.write(pattern(MIB));
  harness.settle();
  harness.transport.clear();
  harness.receive(syn(2));
  assert.deepEqual(harness.sentNotation(), ["GoAway(1)"]);
});

test("Y107: frames after the fatal one are not processed", () => {
  inEveryWay(
    (afterReceive) => withTwoStreams({ afterReceive }),
    concat([data(1, "before"), ping(1), syn(1), data(1, "after"), syn(3), ping(2)]),
    (harness) => {
      assert.equal(harness.inbound(0).text, "before");
      assert.equal(harness.announced.length, 2);
      assert.ok(!harness.sentNotation().includes("Ping+ACK(0,2)"));
      harness.expectFatal();
    },
  );
});

for (const [rule, what, rest] of [
  ["Y108", "between frames", new Uint8Array(0)],
  ["Y109", "inside a header", data(1, "x").subarray(0, 9)],
] as const) {
  test(`${rule}: a WebSocket that closes with 1000 ${what} is a lost transport, save for ended streams`, () => {
    const harness = withTwoStreams();
    harness.receive(fin(2));
    harness.receive(data(1, "part"), rest);
    harness.session.transportClosed(1000);
    harness.settle();
    harness.expectSent();
    const [open, ended] = [harness.inbound(0), harness.inbound(1)];
    assert.equal(open.ended, false);
    expectClosed(open.error, "transport");
    assert.equal(ended.ended, true);
    assert.equal(ended.closes, 1);
    assert.equal(harness.closes.length, 1);
    expectClosed(harness.closes[0] ?? null, "transport");
    assert.equal(harness.session.streamCount, 0);
    assert.equal(
      codeThrownBy(() => harness.session.open(open)),
      "ERR_MUX_SESSION_CLOSED",
    );
  });
}

test("Y108: streams are told before their session", () => {
  const harness = withTwoStreams();
  const order: string[] = [];
  for (const [index, stream] of harness.announced.entries()) {
    stream.onEvent = () => order.push(`stream ${index} while ${harness.closes.length} told`);
  }
  harness.session.transportClosed(1006);
  assert.deepEqual(order, ["stream 0 while 0 told", "stream 1 while 0 told"]);
  assert.equal(harness.closes.length, 1);
});

test("Y110: a second close does nothing", () => {
  const harness = withTwoStreams();
  harness.session.close(1001, "bye", 0);
  harness.session.close(1011, "again", 2);
  harness.settle();
  harness.session.close(1000, "", null);
  harness.session.transportClosed(1006);
  harness.session.transportDrained();
  harness.session.flush();
  harness.settle();
  assert.deepEqual(harness.transport.closes, [{ code: 1001, reason: "bye" }]);
  harness.expectSent(goAway(0));
  assert.equal(harness.closes.length, 1);
  for (const stream of harness.announced) {
    assert.equal(stream.closes, 1);
    assert.equal(expectClosed(stream.error, "local"), "ERR_MUX_SESSION_CLOSED");
  }
});

test("Y110: close(…, null) sends no GoAway", () => {
  const harness = withTwoStreams();
  harness.session.close(4403, "revoked", null);
  harness.settle();
  harness.expectSent();
  assert.deepEqual(harness.transport.closes, [{ code: 4403, reason: "revoked" }]);
});

const callbacks: readonly [event: string, bytes: Uint8Array][] = [
  ["data 5", data(1, "hello")],
  ["end", fin(1)],
  ["close ERR", rst(1)],
  ["data 3", concat([dataHeader(1, 6), pattern(3)])],
];

const rest = concat([ping(5), data(2, "later"), syn(9)]);

for (const [event, bytes] of callbacks) {
  test(`Y110: close from inside the stream callback "${event}"`, () => {
    const harness = withTwoStreams();
    let calls = 0;
    harness.inbound(0).onEvent = (seen) => {
      if (!seen.startsWith(event)) return;
      calls++;
      harness.session.close(1001, "from a callback", 0);
    };
    harness.receive(bytes, event === "data 3" ? new Uint8Array(0) : rest);
    harness.receive(rest);
    assert.equal(calls, 1);
    assert.equal(harness.closes.length, 1);
    assert.equal(harness.inbound(0).closes, 1);
    assert.equal(harness.inbound(1).closes, 1);
    assert.equal(harness.inbound(1).receivedBytes, 0, "nothing is processed after the close");
    assert.equal(harness.announced.length, 2);
    assert.deepEqual(harness.sentNotation(), ["GoAway(0)"]);
    assert.deepEqual(harness.transport.closes, [{ code: 1001, reason: "from a callback" }]);
  });
}

test("Y110: the transport is lost inside a stream callback", () => {
  const harness = withTwoStreams();
  harness.inbound(0).onEvent = (seen) => {
    if (seen.startsWith("data")) harness.session.transportClosed(1006);
  };
  harness.receive(data(1, "hello"), data(2, "later"), ping(5));
  assert.equal(harness.closes.length, 1);
  assert.equal(harness.inbound(1).receivedBytes, 0);
  harness.expectSent();
});

test("Y110: a stream that is reset inside its data callback gets nothing further", () => {
  const harness = withTwoStreams();
  const stream = harness.inbound(0);
  stream.onEvent = () => stream.live.reset();
  harness.receive(data(1, "hello"), data(1, "again"), fin(1), data(2, "other"), ping(5));
  assert.deepEqual(stream.events, ["data 5"]);
  assert.equal(harness.inbound(1).text, "other");
  assert.deepEqual(harness.sentNotation().sort(), ["Ping+ACK(0,5)", "WU+RST(1,0)"]);
});
