import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteQueue } from "../../../src/mux/byte-queue.ts";
import { HEADER_BYTES } from "../../../src/mux/constants.ts";
import { MuxPools, PongRing } from "../../../src/mux/pools.ts";

const bytes = (length: number) => Uint8Array.from({ length }, (_, at) => (at * 7) & 0xff);

test("a queue gives back what it was given, in any pieces", () => {
  const pools = new MuxPools();
  const queue = new ByteQueue();
  const source = bytes(300_000);
  let pushed = 0;
  for (const size of [1, 1_023, 1_024, 1_025, 16_384, 70_000, 210_543]) {
    queue.push(pools, source, pushed, pushed + size);
    pushed += size;
  }
  assert.equal(queue.bytes, pushed);
  const target = new Uint8Array(pushed + 10);
  let taken = 0;
  for (let size = 1; taken < pushed; size = Math.min(size * 3, pushed - taken)) {
    queue.take(pools, size, target, 10 + taken);
    taken += size;
  }
  assert.deepEqual(target.subarray(10), source.subarray(0, pushed));
  assert.equal(queue.bytes, 0);
  assert.equal(queue.head, null);
  assert.equal(pools.chunksOut, 0);
});

test("a queue copies: what it was given may change afterwards", () => {
  const pools = new MuxPools();
  const queue = new ByteQueue();
  const source = bytes(100);
  queue.push(pools, source, 10, 20);
  source.fill(0);
  const target = new Uint8Array(10);
  queue.take(pools, 10, target, 0);
  assert.deepEqual(target, bytes(100).subarray(10, 20));
});

test("small pieces share a chunk", () => {
  const pools = new MuxPools();
  const queue = new ByteQueue();
  for (let n = 0; n < 100; n++) queue.push(pools, bytes(10), 0, 10);
  assert.equal(pools.chunksOut, 1);
  queue.clear(pools);
  assert.equal(pools.chunksOut, 0);
  assert.equal(queue.bytes, 0);
});

test("of the rings for pongs 256 are kept for the next use", () => {
  const pools = new MuxPools();
  const rings = Array.from({ length: 300 }, () => pools.takePongRing());
  for (const ring of rings) pools.givePongRing(ring);
  const known = new Set(rings);
  const again = Array.from({ length: 300 }, () => pools.takePongRing());
  assert.equal(again.filter((ring) => known.has(ring)).length, 256);
});

test("chunks and batches are used again", () => {
  const pools = new MuxPools();
  const chunk = pools.takeChunk(5_000);
  chunk.end += 7;
  pools.giveChunk(chunk);
  assert.equal(pools.takeChunk(16_384), chunk);
  assert.equal(chunk.end, chunk.start);
  for (const [bytes, size] of [
    [4_096, 4_096],
    [4_097, 65_548],
  ] as const) {
    const batch = pools.takeBatch(bytes);
    assert.equal(batch.length, size);
    pools.giveBatch(batch);
    assert.equal(pools.takeBatch(bytes), batch);
  }
  assert.equal(pools.batchesOut, 2);
});

test("a chunk has room for what was asked for, up to 256 KiB, and for a header before it", () => {
  const pools = new MuxPools();
  for (const [bytes, room] of [
    [1, 1_024],
    [1_025, 16_384],
    [16_385, 65_536],
    [65_537, 131_072],
    [131_073, 262_144],
    [1_000_000, 262_144],
  ] as const) {
    const chunk = pools.takeChunk(bytes);
    assert.equal(chunk.start, HEADER_BYTES);
    assert.equal(chunk.bytes.length - chunk.start, room);
  }
});

test("what the pools keep of chunks is bounded: 21 MiB", () => {
  const pools = new MuxPools();
  let kept = 0;
  for (const room of [1_024, 16_384, 65_536, 131_072, 262_144]) {
    const chunks = Array.from({ length: 1_100 }, () => pools.takeChunk(room));
    for (const chunk of chunks) pools.giveChunk(chunk);
    const known = new Set(chunks);
    const again = Array.from({ length: 1_100 }, () => pools.takeChunk(room));
    kept += room * again.filter((chunk) => known.has(chunk)).length;
  }
  assert.equal(kept, 21 * 1024 * 1024);
});

test("the pool is short when more batches are out than it allows", () => {
  const pools = new MuxPools({ batchBuffers: 1 });
  pools.takeBatch(1);
  assert.equal(pools.short, false);
  pools.takeBatch(1);
  assert.equal(pools.short, true);
});

test("window growth is drawn from what the process has", () => {
  const pools = new MuxPools({ maxWindowPoolBytes: 100 });
  assert.equal(pools.drawWindow(60), true);
  assert.equal(pools.drawWindow(41), false);
  assert.equal(pools.drawWindow(40), true);
  pools.returnWindow(100);
  assert.equal(pools.windowGrownBytes, 0);
});

test("of pongs beyond 32 the oldest is dropped", () => {
  const ring = new PongRing();
  for (let n = 0; n < 32; n++) assert.equal(ring.push(n), true);
  assert.equal(ring.push(32), false);
  assert.equal(ring.push(0xffff_ffff), false);
  assert.equal(ring.count, 32);
  assert.equal(ring.shift(), 2);
  for (let n = 3; n <= 32; n++) assert.equal(ring.shift(), n);
  assert.equal(ring.shift(), 0xffff_ffff);
  assert.equal(ring.count, 0);
});
