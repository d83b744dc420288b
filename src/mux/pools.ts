import { HEADER_BYTES, PONGS_WAITING_MAX } from "./constants.ts";
import type { SessionCounters } from "./counters.ts";
import { BATCH_BYTES } from "./options.ts";
import type { Session } from "./session.ts";

/**
 * Room for bytes that must outlive a call: bytes[start, end) are in use. Linked into one queue at a time. Before `start`
 * there is always room for a frame header, so that what lies in it can leave from where it lies.
 */
export class Chunk {
  readonly bytes: Uint8Array;
  start = HEADER_BYTES;
  end = HEADER_BYTES;
  next: Chunk | null = null;

  /** @param room bytes that it can hold */
  constructor(room: number) {
    this.bytes = new Uint8Array(HEADER_BYTES + room);
  }
}

/** Ping values that wait to be answered; the oldest gives way. */
export class PongRing {
  readonly values = new Float64Array(PONGS_WAITING_MAX);
  head = 0;
  count = 0;

  /** @returns false when the oldest one was dropped to make room */
  push(value: number): boolean {
    const full = this.count === PONGS_WAITING_MAX;
    this.values[(this.head + this.count) % PONGS_WAITING_MAX] = value;
    if (full) this.head = (this.head + 1) % PONGS_WAITING_MAX;
    else this.count += 1;
    return !full;
  }

  shift(): number {
    const value = this.values[this.head] ?? 0;
    this.head = (this.head + 1) % PONGS_WAITING_MAX;
    this.count -= 1;
    return value;
  }
}

const MIB = 1024 * 1024;
/** A session that holds more than this is a candidate when the whole process is short of room. */
const HEAVY_BYTES = MIB;
/** Room of pooled chunks, and how many of each stay for the next use: 21 MiB at most. */
const CHUNK_ROOMS = [1024, 16 * 1024, 64 * 1024, 128 * 1024, 256 * 1024] as const;
const CHUNKS_KEPT = [1024, 256, 64, 32, 32] as const;
/** Most turns bring a session a few requests: a small batch does, and hundreds of them stay in the cache. */
const SMALL_BATCH_BYTES = 4 * 1024;
/** Batch buffers of each size that stay for the next use: 4 MiB of either. */
const SMALL_BATCHES_KEPT = 1024;
const BATCHES_KEPT = 64;
/** Rings of pongs that stay for the next use, some 400 bytes each: as many devices may ping in one turn. */
const PONG_RINGS_KEPT = 256;

export interface PoolLimits {
  /** Growth of receive windows beyond their initial size, whole process, bytes. */
  maxWindowPoolBytes?: number;
  /** Received and not consumed, whole process, bytes. */
  maxRecvBufferBytes?: number;
  /** Batch buffers (4 or 64 KiB) that sessions may hold until their flush; beyond it writes leave at once. */
  batchBuffers?: number;
  /** Counts what all sessions see and do, in place of 200 bytes of counts in each session that was ever used. */
  tally?: SessionCounters;
}

/** Which of `CHUNK_ROOMS` is the least for `bytes` bytes; the largest for more than it has room for. */
function kindOfChunk(bytes: number): number {
  let kind = 0;
  while (kind < CHUNK_ROOMS.length - 1 && bytes > (CHUNK_ROOMS[kind] ?? 0)) kind += 1;
  return kind;
}

/** What the sessions of one process share: buffers, and budgets of memory. */
export class MuxPools {
  readonly maxWindowPoolBytes: number;
  readonly maxRecvBufferBytes: number;
  readonly batchBuffersMax: number;
  /** The counts of all sessions together; null where each has its own. */
  readonly tally: SessionCounters | null;
  /** Scratch for the header of a frame that leaves by itself. */
  readonly header: Uint8Array = new Uint8Array(HEADER_BYTES);
  /** Growth drawn by all streams, bytes. */
  windowGrownBytes = 0;
  /** Received and not consumed, bytes. */
  recvHeldBytes = 0;
  /** Batch buffers that sessions hold now. */
  batchesOut = 0;
  /** Chunks that queues hold now. */
  chunksOut = 0;
  private readonly smallBatches: Buffer[] = [];
  private readonly batches: Buffer[] = [];
  private readonly chunks: readonly Chunk[][] = CHUNK_ROOMS.map(() => []);
  private readonly pongRings: PongRing[] = [];
  private readonly heavy = new Set<Session>();

  constructor(limits: PoolLimits = {}) {
    this.maxWindowPoolBytes = limits.maxWindowPoolBytes ?? 256 * MIB;
    this.maxRecvBufferBytes = limits.maxRecvBufferBytes ?? 256 * MIB;
    this.batchBuffersMax = limits.batchBuffers ?? 1024;
    this.tally = limits.tally ?? null;
  }

  /** True when so many batches wait for a flush that the next write had better leave at once. */
  get short(): boolean {
    return this.batchesOut > this.batchBuffersMax;
  }

  /** A batch buffer with room for `bytes` bytes, at most those of one message. */
  takeBatch(bytes: number): Buffer {
    this.batchesOut += 1;
    if (bytes <= SMALL_BATCH_BYTES) {
      return this.smallBatches.pop() ?? Buffer.allocUnsafeSlow(SMALL_BATCH_BYTES);
    }
    return this.batches.pop() ?? Buffer.allocUnsafeSlow(BATCH_BYTES);
  }

  giveBatch(batch: Buffer): void {
    this.batchesOut -= 1;
    if (batch.length === SMALL_BATCH_BYTES) {
      if (this.smallBatches.length < SMALL_BATCHES_KEPT) this.smallBatches.push(batch);
    } else if (this.batches.length < BATCHES_KEPT) {
      this.batches.push(batch);
    }
  }

  /** A chunk for `bytes` bytes, or as much of them as the largest has room for. */
  takeChunk(bytes: number): Chunk {
    this.chunksOut += 1;
    const kind = kindOfChunk(bytes);
    return this.chunks[kind]?.pop() ?? new Chunk(CHUNK_ROOMS[kind] ?? bytes);
  }

  giveChunk(chunk: Chunk): void {
    this.chunksOut -= 1;
    chunk.start = HEADER_BYTES;
    chunk.end = HEADER_BYTES;
    chunk.next = null;
    const kind = kindOfChunk(chunk.bytes.length - HEADER_BYTES);
    const kept = this.chunks[kind];
    if (kept !== undefined && kept.length < (CHUNKS_KEPT[kind] ?? 0)) kept.push(chunk);
  }

  takePongRing(): PongRing {
    return this.pongRings.pop() ?? new PongRing();
  }

  givePongRing(ring: PongRing): void {
    ring.head = 0;
    ring.count = 0;
    if (this.pongRings.length < PONG_RINGS_KEPT) this.pongRings.push(ring);
  }

  /** Draws `bytes` of window growth; false when the process has none left. */
  drawWindow(bytes: number): boolean {
    if (this.windowGrownBytes + bytes > this.maxWindowPoolBytes) return false;
    this.windowGrownBytes += bytes;
    return true;
  }

  returnWindow(bytes: number): void {
    this.windowGrownBytes -= bytes;
  }

  /** Counts bytes that `session` now holds on to; its own sum is already raised. */
  addHeld(session: Session, bytes: number): void {
    this.recvHeldBytes += bytes;
    const held = session.recvHeld;
    if (held > HEAVY_BYTES && held - bytes <= HEAVY_BYTES) this.heavy.add(session);
  }

  /** Counts bytes that `session` has let go; its own sum is already lowered. */
  releaseHeld(session: Session, bytes: number): void {
    this.recvHeldBytes -= bytes;
    const held = session.recvHeld;
    if (held <= HEAVY_BYTES && held + bytes > HEAVY_BYTES) this.heavy.delete(session);
  }

  /** The session that holds most, or `fallback` when none holds much. */
  heaviest(fallback: Session): Session {
    let most = fallback;
    for (const session of this.heavy) if (session.recvHeld > most.recvHeld) most = session;
    return most;
  }
}
