import { byteAt } from "./bytes.ts";

/** Longer heads are read each time. */
const REMEMBERED_BYTES_MAX = 1_024;
/** After so many heads in a row that were not the remembered one, only one of `SELDOM` is remembered. */
const MISSES_OFTEN = 2;
const SELDOM = 16;

/** What is remembered of a head besides its bytes. */
interface HeadFacts {
  readonly status: number;
  readonly minor: number;
  readonly contentLength: number;
  readonly chunked: boolean;
  readonly saysClose: boolean;
  readonly saysKeepAlive: boolean;
  readonly keepAliveTimeoutMs: number;
}

/**
 * The head that was read last, and what it came to. A device answers many requests in a row with the same bytes: to
 * compare them costs a third of reading them. Where heads differ each time, little is lost: most are not remembered.
 */
export class HeadMemory implements HeadFacts {
  status = 0;
  minor = 1;
  contentLength = -1;
  chunked = false;
  saysClose = false;
  saysKeepAlive = false;
  keepAliveTimeoutMs = -1;
  /** Bytes of the head as received; 0 while nothing is remembered. */
  length = 0;
  /** What is passed on of it, [0, writtenLength). */
  written: Uint8Array = new Uint8Array(0);
  writtenLength = 0;
  #received: Uint8Array = new Uint8Array(0);
  #misses = 0;

  /** Whether the remembered head stands at `from`, whole and before `limit`. */
  matches(bytes: Uint8Array, from: number, limit: number): boolean {
    const { length } = this;
    if (length === 0 || limit - from < length) return false;
    const received = this.#received;
    for (let at = 0; at < length; at++) {
      if (byteAt(bytes, from + at) !== byteAt(received, at)) return false;
    }
    this.#misses = 0;
    return true;
  }

  /** Whether a head of this length, which is another one, is worth remembering. */
  wants(length: number): boolean {
    this.#misses += 1;
    return (
      length <= REMEMBERED_BYTES_MAX &&
      (this.#misses <= MISSES_OFTEN || this.#misses % SELDOM === 0)
    );
  }

  /** Remembers a head: its bytes as received, and as they are passed on. Both are copied. */
  note(facts: HeadFacts, received: Uint8Array, written: Uint8Array): void {
    if (received.length > this.#received.length) this.#received = new Uint8Array(received.length);
    this.#received.set(received);
    this.length = received.length;
    if (written.length > this.written.length) this.written = new Uint8Array(written.length);
    this.written.set(written);
    this.writtenLength = written.length;
    this.status = facts.status;
    this.minor = facts.minor;
    this.contentLength = facts.contentLength;
    this.chunked = facts.chunked;
    this.saysClose = facts.saysClose;
    this.saysKeepAlive = facts.saysKeepAlive;
    this.keepAliveTimeoutMs = facts.keepAliveTimeoutMs;
  }
}
