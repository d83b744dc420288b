import assert from "node:assert/strict";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { type TestContext, test } from "node:test";
import type { AppError } from "../../../src/core/errors.ts";
import { type MuxOptions, type Stream, toDuplex } from "../../../src/mux/index.ts";
import { sessionPair } from "../../support/mux/session-pair.ts";
import { until } from "../../support/until.ts";

const ignore = {
  streamOnData() {},
  streamOnEnd() {},
  streamOnWritable() {},
  streamOnClose() {},
};

/** The end of the pair after a test is an error to streams that are still open. */
function quiet(duplex: Duplex): Duplex {
  return duplex.on("error", () => {});
}

/** A stream between two sessions as a Duplex at each end. */
async function duplexes(t: TestContext, options: Partial<MuxOptions> = {}) {
  const pair = sessionPair(options);
  t.after(pair.done);
  const announced = new Promise<Stream>((resolve) => {
    pair.server.onStream = resolve;
  });
  const stream = pair.client.session.open(ignore);
  const near = quiet(toDuplex(stream));
  const inbound = await announced;
  const far = quiet(toDuplex(inbound));
  return { pair, near, far, stream, inbound };
}

/** All that comes until the end. The iterator of a Duplex would destroy it then. */
async function text(duplex: Duplex): Promise<string> {
  let all = "";
  duplex.on("data", (chunk: Buffer) => {
    all += chunk.toString("latin1");
  });
  await once(duplex, "end");
  return all;
}

/** Resolves when no stream is left at either end. */
function empty({ client, server }: ReturnType<typeof sessionPair>): Promise<void> {
  const gone = (): boolean => client.session.streamCount + server.session.streamCount === 0;
  return until(gone, "the end of the last stream");
}

test("what is written at one end is read at the other, and both end", async (t) => {
  const { pair, near, far } = await duplexes(t);
  near.end("hello");
  assert.equal(await text(far), "hello");
  far.end("world");
  assert.equal(await text(near), "world");
  await empty(pair);
  assert.equal(near.destroyed && far.destroyed, true);
  assert.equal(near.errored ?? far.errored, null);
});

test("an echo of 4 MiB passes with few bytes in flight", async (t) => {
  const { pair, near, far } = await duplexes(t);
  const sent = Buffer.alloc(4 << 20, "0123456789abcdef");
  const echo = pipeline(far, far);
  const received: Buffer[] = [];
  near.on("data", (chunk: Buffer) => received.push(chunk));
  near.end(sent);
  await finished(near);
  await echo;
  assert.ok(Buffer.concat(received).equals(sent));
  await empty(pair);
  assert.equal(pair.pools.recvHeldBytes + pair.pools.chunksOut, 0);
});

test("a reader that does not read stops the writer at the window", async (t) => {
  const { pair, near, far, inbound, stream } = await duplexes(t);
  let taken = 0;
  const chunk = Buffer.alloc(65_536);
  while (near.write(chunk, () => taken++)) {}
  for (let n = 0; n < 20; n++) near.write(chunk, () => taken++);
  await until(() => inbound.unconsumed === 262_144, "a whole window");
  // A stream that is opened now comes behind all that the first one may send.
  const behind = new Promise((resolve) => {
    pair.server.onStream = resolve;
  });
  pair.client.session.open(ignore);
  await behind;
  assert.ok(taken < 10, `${taken} writes were taken`);
  assert.ok(inbound.unconsumed <= 262_144);
  assert.ok(stream.queuedBytes <= 262_144);
  far.resume();
  near.end();
  await finished(near, { readable: false });
  assert.ok(taken > 20);
});

test("bytes in the readable buffer are not consumed", async (t) => {
  const { near, far, inbound } = await duplexes(t);
  near.write(Buffer.alloc(1_000));
  await once(far, "readable");
  assert.equal(inbound.unconsumed, 1_000);
  far.read(400);
  assert.equal(inbound.unconsumed, 600);
  far.read(600);
  assert.equal(inbound.unconsumed, 0);
});

test("half-open: one end goes on writing after the other has ended", async (t) => {
  const { near, far } = await duplexes(t);
  near.end();
  far.resume();
  await once(far, "end");
  far.write("still ");
  far.end("here");
  assert.equal(await text(near), "still here");
});

test("destroy() resets the stream, the other end gets an error", async (t) => {
  const { pair, near, far } = await duplexes(t);
  near.destroy();
  await assert.rejects(finished(far.resume()), { code: "ERR_MUX_STREAM_RESET" });
  assert.equal(far.destroyed, true);
  assert.equal(pair.client.session.streamCount + pair.server.session.streamCount, 0);
});

test("the end of the session destroys with its error, and a waiting write fails", async (t) => {
  const { pair, near } = await duplexes(t);
  let failure: unknown = null;
  near.write(Buffer.alloc(1 << 20), (error) => {
    failure = error;
  });
  pair.client.session.transportClosed(1006);
  await assert.rejects(finished(near), { code: "ERR_MUX_TRANSPORT_LOST" });
  assert.equal((failure as AppError | null)?.code, "ERR_MUX_TRANSPORT_LOST");
});

test("a write after the session is gone fails without an exception", async (t) => {
  const { pair, near } = await duplexes(t);
  pair.client.session.transportClosed(1006);
  const failed = new Promise((resolve) => near.write("late", resolve));
  assert.ok((await failed) instanceof Error);
});

test("an inbound stream is accepted by wrapping it, and what it held is read", async (t) => {
  const pair = sessionPair();
  t.after(pair.done);
  const announced = new Promise<Stream>((resolve) => {
    pair.server.onStream = resolve;
  });
  const stream = pair.client.session.open(ignore);
  stream.write(Buffer.from("early"));
  stream.end();
  const inbound = await announced;
  await until(() => inbound.unconsumed === 5, "early bytes");
  assert.equal(inbound.acked, false);
  const far = quiet(toDuplex(inbound));
  assert.equal(inbound.acked, true);
  assert.equal(await text(far), "early");
});

test("wrapping an inbound stream that is gone throws", async (t) => {
  const pair = sessionPair();
  t.after(pair.done);
  const announced = new Promise<Stream>((resolve) => {
    pair.server.onStream = resolve;
  });
  const stream = pair.client.session.open(ignore);
  const inbound = await announced;
  stream.reset();
  await until(() => inbound.closed, "the reset");
  assert.throws(() => toDuplex(inbound), { code: "ERR_MUX_STREAM_CLOSED" });
});
