import { byteAt } from "../../core/http1/bytes.ts";

/** Longer heads are read each time. */
const REMEMBERED_BYTES_MAX = 1_024;
/** After so many heads in a row that were not the remembered one, only one of `SELDOM` is remembered. */
const MISSES_OFTEN = 2;
const SELDOM = 16;

/** What a head says that decides on its body and its connection. */
export class HeadFacts {
  status = 0;
  /** 0 or 1: the minor version. */
  minor = 1;
  /** Declared length, -1 for none. */
  contentLength = -1;
  chunked = false;
  /** `Connection: close` was there. */
  saysClose = false;
  /** `Connection: keep-alive` was there. */
  saysKeepAlive = false;
  /** `Keep-Alive: timeout=N` in milliseconds, -1 where it was not said. */
  keepAliveTimeoutMs = -1;

  copyFacts(from: HeadFacts): void {
    this.status = from.status;
    this.minor = from.minor;
    this.contentLength = from.contentLength;
    this.chunked = from.chunked;
    this.saysClose = from.saysClose;
    this.saysKeepAlive = from.saysKeepAlive;
    this.keepAliveTimeoutMs = from.keepAliveTimeoutMs;
  }
}

/**
 * The head that was read last, and what it came to. A device answers many requests in a row with the same bytes: to
 * compare them costs a third of reading them. Where heads differ each time, little is lost: most are not remembered.
 */
export class HeadMemory {
  readonly facts = new HeadFacts();
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
    this.facts.copyFacts(facts);
  }
}
