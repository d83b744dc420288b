import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../../../src/core/errors.ts";
import { MUX_ERRORS, MuxPools, type Stream } from "../../../src/mux/index.ts";
import {
  ack,
  concat,
  DEFAULT_WINDOW,
  data,
  fin,
  goAway,
  pattern,
  ping,
  pong,
  rst,
  syn,
  wu,
} from "../../support/mux/frames.ts";
import { Harness, RecordingStream } from "../../support/mux/harness.ts";

const accepts = { accepts: true } as const;

test("codes are stable names, texts are plain sentences", () => {
  for (const [code, text] of Object.entries(MUX_ERRORS)) {
    assert.match(code, /^ERR_MUX_[A-Z_]+$/);
    assert.match(text, /^[\x20-\x7e]{1,123}$/);
  }
});

for (const event of ["data 5", "end", "close"]) {
  test(`a handler that throws on "${event}" ends its session with GoAway(2) and 1011`, () => {
    const harness = new Harness("server", {}, accepts);
    harness.receive(syn(1), syn(3));
    const bug = new Error("a bug");
    harness.inbound(0).onEvent = (seen) => {
      if (seen === event) throw bug;
    };
    harness.inbound(0).live.end();
    harness.transport.clear();
    harness.receive(data(1, "hello"), fin(1), ping(1));
    harness.expectFatal(2, 1011);
    const [error] = harness.closes;
    assert.equal(error?.code, "ERR_MUX_INTERNAL");
    assert.equal(error?.cause, bug);
    assert.equal(harness.inbound(1).error?.code, "ERR_MUX_INTERNAL");
  });
}

test("a handler that throws while the session ends keeps no other from being told", () => {
  const harness = new Harness("server", {}, accepts);
  harness.receive(syn(1), syn(3), syn(5));
  const bug = new Error("a bug");
  harness.inbound(1).onEvent = () => {
    throw bug;
  };
  harness.session.close(1000, "", 0);
  assert.deepEqual(
    harness.announced.map((one) => one.closes),
    [1, 1, 1],
  );
  assert.equal(harness.closes.length, 1);
  assert.equal(harness.closes[0]?.cause, bug);
});

test("held data is delivered in order although its handler ends, writes and consumes", () => {
  const harness = new Harness("server");
  harness.receive(syn(1), data(1, pattern(100_000)), fin(1));
  const recording = harness.inbound();
  recording.onEvent = (event) => {
    if (recording.events.length === 1 && event.startsWith("data")) {
      recording.live.write(Buffer.from("bye"));
      recording.live.end();
    }
  };
  harness.transport.clear();
  harness.accept();
  harness.settle();
  assert.equal(recording.receivedBytes, 100_000);
  assert.deepEqual(recording.events.slice(-2), ["end", "close"]);
  harness.expectSent(ack(1), data(1, "bye"), fin(1));
});

test("a stream that is reset while its held data is delivered hears nothing more", () => {
  const harness = new Harness("server");
  harness.receive(syn(1), data(1, pattern(100_000)), fin(1));
  const recording = harness.inbound();
  recording.onEvent = () => recording.live.reset();
  harness.transport.clear();
  harness.accept();
  harness.settle();
  assert.equal(recording.events.length, 1);
  harness.expectSent(ack(1), rst(1));
  assert.equal(harness.session.pools.chunksOut, 0);
  assert.equal(harness.session.pools.recvHeldBytes, 0);
});

test("receive() from inside a handler waits its turn", () => {
  const harness = new Harness("server", {}, accepts);
  harness.receive(syn(1));
  const recording = harness.inbound();
  recording.onEvent = (event) => {
    assert.equal(event, "data 5");
    recording.onEvent = null;
    harness.session.receive(data(1, "third"));
  };
  harness.receive(data(1, "first"), data(1, "second"));
  assert.equal(recording.text, "firstsecondthird");
});

test("write() inside streamOnWritable leaves with the same flush", () => {
  const harness = new Harness("client");
  const recording = harness.open();
  recording.live.write(pattern(DEFAULT_WINDOW));
  assert.equal(recording.live.write(pattern(5_000)), false);
  recording.onEvent = (event) => {
    if (event === "writable") recording.live.write(Buffer.from("more"));
  };
  harness.settle();
  harness.transport.clear();
  harness.receive(wu(1, 5_004));
  harness.expectSent(data(1, pattern(5_000)), data(1, "more"));
  assert.equal(harness.transport.messages.length, 0);
});

test("a large write sends what was batched before it, each once", () => {
  const harness = new Harness("client");
  const recording = harness.open();
  recording.live.write(Buffer.from("head"));
  recording.live.write(pattern(200_000));
  harness.settle();
  assert.equal(harness.transport.messages.length, 2);
  harness.expectSent(syn(1), data(1, "head"), data(1, pattern(200_000)));
});

test("a large write joins the batch when both fit one message", () => {
  const harness = new Harness("client");
  const recording = harness.open();
  recording.live.write(pattern(40_000));
  assert.equal(harness.transport.messages.length, 1);
  harness.settle();
  harness.expectSent(syn(1), data(1, pattern(40_000)));
});

test("head text is written as Latin-1, batched or queued", () => {
  const text = `GET / HTTP/1.1\r\nx: ${"\u00e9\u00ff".repeat(50)}\r\n\r\n`;
  const harness = new Harness("client");
  const recording = harness.open();
  assert.equal(recording.live.writeLatin1(text), true);
  assert.equal(recording.live.writeLatin1(""), true);
  harness.settle();
  harness.expectSent(syn(1), data(1, Buffer.from(text, "latin1")));
  harness.transport.buffered = 1 << 20;
  recording.live.writeLatin1(text);
  harness.settle();
  harness.expectSent();
  harness.transport.buffered = 0;
  harness.session.transportDrained();
  harness.expectSent(data(1, Buffer.from(text, "latin1")));
});

test("when too many batches wait, a write leaves at once, its SYN with it", () => {
  const pools = new MuxPools({ batchBuffers: 0 });
  const harness = new Harness("client", {}, { pools });
  const recording = harness.open();
  recording.live.write(Buffer.from("now"));
  assert.equal(harness.transport.messages.length, 1);
  harness.expectSent(syn(1), data(1, "now"));
  assert.equal(pools.batchesOut, 0);
});

test("dueAt follows what a call makes due, and the owner is told", () => {
  const harness = new Harness("client", { keepAliveJitter: 0 });
  harness.advance(1_000);
  const before = harness.dirtyCalls;
  const recording = harness.open();
  harness.settle();
  recording.live.end();
  assert.equal(harness.session.dueAt, harness.clock.now() + 1_000);
  assert.ok(harness.dirtyCalls > before);
});

test("credit and unconsumed bytes of a frame in progress are not mixed up", () => {
  const harness = new Harness("server", {}, accepts);
  harness.receive(syn(1));
  const whole = data(1, pattern(DEFAULT_WINDOW));
  harness.transport.clear();
  harness.receive(whole.subarray(0, 12 + 131_072));
  harness.expectSent(wu(1, 131_072));
  harness.receive(whole.subarray(12 + 131_072));
  harness.expectSent(wu(1, 131_072));
});

test("the process-wide total resets a stream of the session that holds most", () => {
  const pools = new MuxPools({ maxRecvBufferBytes: 3 << 20 });
  const keeps = { accepts: true, stream: { consumes: false, keeps: false }, pools } as const;
  const hog = new Harness("server", {}, keeps);
  const modest = new Harness("server", {}, keeps);
  for (let n = 0; n < 11; n++) hog.receive(syn(1 + 2 * n), data(1 + 2 * n, pattern(250_000)));
  modest.receive(syn(1), data(1, pattern(200_000)), syn(3), data(3, pattern(250_000)));
  assert.equal(modest.session.streamCount, 2);
  assert.ok(hog.session.streamCount < 11);
  const [error] = hog.announced.map((one) => one.error).filter((one) => one !== null);
  assert.equal(error?.code, "ERR_MUX_RECV_BUFFER_FULL");
  assert.ok(pools.recvHeldBytes < 3 << 20);
});

test("a drained session ends behind its last FIN", () => {
  const harness = new Harness("server", {}, accepts);
  harness.receive(syn(1));
  harness.transport.clear();
  harness.session.drain(1001, "bye");
  harness.settle();
  harness.expectSent(goAway(0));
  harness.receive(fin(1));
  harness.inbound().live.end();
  assert.equal(harness.closes.length, 0, "the end comes with the flush");
  harness.settle();
  harness.expectSent(fin(1));
  assert.deepEqual(harness.transport.closes, [{ code: 1001, reason: "bye" }]);
});

test("a waiting open that is reset gives its place up and sends nothing", () => {
  const harness = new Harness("client", { maxUnackedOpens: 1 });
  const first = harness.open();
  const second = harness.open();
  const third = harness.open();
  assert.deepEqual([first.live.id, second.live.id, third.live.id], [1, 0, 0]);
  second.live.reset();
  assert.equal(harness.session.streamCount, 2);
  harness.receive(ack(1));
  assert.equal(third.live.id, 3);
  harness.settle();
  harness.expectSent(syn(1), syn(3));
  assert.equal(second.closes, 0);
});

test("data in the frame that brings the session down reaches nobody", () => {
  const harness = new Harness("server", {}, accepts);
  harness.receive(syn(1));
  harness.receive(data(1, "ok"), wu(0, 1), data(1, "not ok"));
  assert.equal(harness.inbound().text, "ok");
  harness.expectFatal();
});

test("pongs go out in front of what the batch holds", () => {
  const harness = new Harness("client");
  const recording = harness.open();
  recording.live.write(Buffer.from("head"));
  harness.feed(concat([ping(7), ping(8)]));
  harness.settle();
  harness.expectSent(pong(7), pong(8), syn(1), data(1, "head"));
  assert.equal(harness.transport.messages.length, 0);
});

test("a handler may be swapped between exchanges", () => {
  const harness = new Harness("client");
  const first = harness.open();
  const second = new RecordingStream();
  harness.receive(ack(1), data(1, "one"));
  const stream: Stream = first.live;
  stream.handler = second;
  harness.receive(data(1, "two"), fin(1));
  assert.equal(first.text, "one");
  assert.deepEqual(second.events, ["data 3", "end"]);
});

test("a wrong setting is refused before any session exists", () => {
  assert.throws(() => new Harness("client", { maxUnackedOpens: 0 }), ConfigError);
});
