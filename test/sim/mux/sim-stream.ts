import type { AppError } from "../../../src/core/errors.ts";
import type { Stream, StreamHandler } from "../../../src/mux/index.ts";
import { Prng } from "../../support/mux/prng.ts";
import type { Side } from "./side.ts";

const PATTERN_BYTES = 1 << 20;
/** Largest single write, bytes. */
export const WRITE_MAX = 1 << 19;

/** Random bytes; what a stream carries is a stretch of them, read round and round. */
const PATTERN = (() => {
  const bytes = new Uint8Array(PATTERN_BYTES + WRITE_MAX);
  const prng = new Prng(0x5eed);
  for (let at = 0; at < PATTERN_BYTES; at++) bytes[at] = prng.uint32();
  bytes.copyWithin(PATTERN_BYTES, 0, WRITE_MAX);
  return bytes;
})();

/** The bytes at `position` of the byte stream with this salt; at most WRITE_MAX of them. */
export function patternAt(salt: number, position: number, length: number): Uint8Array {
  const start = (Math.imul(salt, 0x9e3779b1) + position) & (PATTERN_BYTES - 1);
  return PATTERN.subarray(start, start + length);
}

/** One end of a stream with the application that uses it, and the model of what it must see. */
export class SimStream implements StreamHandler {
  readonly side: Side;
  readonly opener: boolean;
  /** Number of the stream in the schedule, the same at both ends. */
  readonly serial: number;
  stream: Stream | null = null;
  /** The other end, once it was announced. */
  peer: SimStream | null = null;
  /** Bytes that this end will send in all. */
  planned: number;
  written = 0;
  endedAt = -1;
  received = 0;
  consumed = 0;
  accepted: boolean;
  remoteEnded = false;
  closes = 0;
  error: AppError | null = null;
  resetByUs = false;
  /** write() returned false and streamOnWritable has not come since. */
  blocked = false;
  stallCounted = false;

  constructor(side: Side, opener: boolean, serial: number, planned: number) {
    this.side = side;
    this.opener = opener;
    this.serial = serial;
    this.planned = planned;
    this.accepted = opener;
  }

  get live(): Stream {
    if (this.stream === null) throw new Error("the stream was not opened");
    return this.stream;
  }

  /** True once nothing more may be told of it. Nobody is told of a stream that ends before its accept. */
  get over(): boolean {
    return this.closes > 0 || this.resetByUs || (!this.accepted && this.live.closed);
  }

  get outSalt(): number {
    return this.serial * 2 + (this.opener ? 0 : 1);
  }

  get inSalt(): number {
    return this.serial * 2 + (this.opener ? 1 : 0);
  }

  streamOnData(stream: Stream, chunk: Uint8Array, start: number, end: number): void {
    this.#told("data", stream);
    this.#must(!this.remoteEnded, "no data after the end");
    this.#must(start >= 0 && start < end && end <= chunk.length, "a slice within its chunk");
    for (let at = start; at < end; ) {
      const size = Math.min(end - at, WRITE_MAX);
      const wanted = patternAt(this.inSalt, this.received, size);
      const same = Buffer.compare(chunk.subarray(at, at + size), wanted) === 0;
      this.#must(same, `the bytes at ${this.received} are those that were sent`);
      this.received += size;
      at += size;
    }
    this.#must(this.received <= (this.peer?.written ?? 0), "no more than was sent");
    this.side.appOnData(this);
  }

  streamOnEnd(stream: Stream): void {
    this.#told("end", stream);
    this.#must(!this.remoteEnded, "the end comes once");
    this.#must((this.peer?.endedAt ?? -1) >= 0, "an end that the peer has made");
    this.#must(
      this.received === this.peer?.written,
      `the end after all bytes (${this.received} of ${this.peer?.written})`,
    );
    this.remoteEnded = true;
    this.side.appOnEvent(this);
  }

  streamOnWritable(stream: Stream): void {
    this.#told("writable", stream);
    this.#must(this.blocked, "writable only after a refused write");
    this.blocked = false;
    this.side.appOnEvent(this);
  }

  streamOnClose(stream: Stream, error: AppError | null): void {
    this.#told("close", stream);
    this.closes++;
    this.error = error;
    this.#must(stream.closed, "closed when it is told so");
    if (error === null) {
      this.#must(this.remoteEnded && this.endedAt >= 0, "a clean close after both ends");
    } else {
      this.side.checkStreamError(this, error);
    }
  }

  #told(event: string, stream: Stream): void {
    const id = this.stream?.id ?? 0;
    this.#must(this.stream === null || this.stream === stream, `${event} names its stream`);
    this.#must(this.closes === 0, `no ${event} after the close of stream ${id}`);
    this.#must(!this.resetByUs, `no ${event} after our reset of stream ${id}`);
    this.#must(!this.side.sessionOver, `no ${event} after the end of the session`);
  }

  #must(holds: boolean, rule: string): void {
    if (holds) return;
    this.side.shared.fail(`${this.side.name}, stream ${this.stream?.id}: broke "${rule}"`);
  }
}
