import type { Chunk, MuxPools } from "./pools.ts";

/**
 * Bytes that wait, in pooled chunks, first in first out. Holds nothing while empty.
 *
 * Invariant: `bytes` is the sum of end - start over the chunks; no linked chunk is empty.
 */
export class ByteQueue {
  bytes = 0;
  head: Chunk | null = null;
  private tail: Chunk | null = null;

  /** Copies source[start, end) to the end of the queue: the one copy that waiting bytes get. */
  push(pools: MuxPools, source: Uint8Array, start: number, end: number): void {
    let at = start;
    this.bytes += end - start;
    while (at < end) {
      let chunk = this.tail;
      if (chunk === null || chunk.end === chunk.bytes.length) {
        chunk = pools.takeChunk(end - at);
        if (this.tail === null) this.head = chunk;
        else this.tail.next = chunk;
        this.tail = chunk;
      }
      const n = Math.min(chunk.bytes.length - chunk.end, end - at);
      chunk.bytes.set(source.subarray(at, at + n), chunk.end);
      chunk.end += n;
      at += n;
    }
  }

  /** Moves the first `n` bytes, which must be there, to target[offset, offset + n). */
  take(pools: MuxPools, n: number, target: Uint8Array, offset: number): void {
    let at = offset;
    const end = offset + n;
    while (at < end && this.head !== null) {
      const chunk = this.head;
      const part = Math.min(chunk.end - chunk.start, end - at);
      target.set(chunk.bytes.subarray(chunk.start, chunk.start + part), at);
      at += part;
      this.drop(pools, part);
    }
  }

  /** Drops the first `n` bytes, which must lie in the first chunk. */
  drop(pools: MuxPools, n: number): void {
    const chunk = this.head;
    if (chunk === null) return;
    chunk.start += n;
    this.bytes -= n;
    if (chunk.start < chunk.end) return;
    this.head = chunk.next;
    if (this.head === null) this.tail = null;
    pools.giveChunk(chunk);
  }

  /** Takes the first chunk out whole; the caller gives it back to the pool. */
  shiftChunk(): Chunk | null {
    const chunk = this.head;
    if (chunk === null) return null;
    this.bytes -= chunk.end - chunk.start;
    this.head = chunk.next;
    if (this.head === null) this.tail = null;
    chunk.next = null;
    return chunk;
  }

  clear(pools: MuxPools): void {
    for (let chunk = this.shiftChunk(); chunk !== null; chunk = this.shiftChunk()) {
      pools.giveChunk(chunk);
    }
  }
}
