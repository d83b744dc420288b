import { viewOf } from "../../core/http1/bytes.ts";

/** Longer heads are read each time. */
const REMEMBERED_BYTES_MAX = 1_024;
/** Heads that are remembered at a time. */
const HEADS_MAX = 4;
/** After so many heads in a row that were no remembered one, only one of `SELDOM` is remembered. */
const MISSES_OFTEN = 2;
const SELDOM = 16;
/** Heads are compared word by word: five times faster than byte by byte. */
const WORD_BYTES = 4;

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

/** A head that was read: what it came to, and what of it is passed on. Never changed, so that it may be kept. */
export class RememberedHead {
  readonly facts = new HeadFacts();
  /** Bytes of the head as received. */
  readonly length: number;
  /** What is passed on of it. */
  readonly written: Uint8Array;
  /** The bytes as little-endian words; the last word ends with the head, and may overlap the one before. */
  readonly #words: Int32Array;

  /** @param received at least a word, as every head is; it and `written` are copied */
  constructor(facts: HeadFacts, received: Uint8Array, written: Uint8Array) {
    const { length } = received;
    const view = viewOf(received);
    this.length = length;
    this.written = written.slice();
    this.#words = new Int32Array(Math.ceil(length / WORD_BYTES));
    for (let word = 0; word < this.#words.length; word++) {
      this.#words[word] = view.getInt32(Math.min(word * WORD_BYTES, length - WORD_BYTES), true);
    }
    this.facts.copyFacts(facts);
  }

  /** Whether the bytes at `from` are this head, whole and before `limit`. */
  standsAt(bytes: Uint8Array, from: number, limit: number): boolean {
    if (limit - from < this.length) return false;
    const words = this.#words;
    const view = viewOf(bytes);
    const last = words.length - 1;
    for (let word = 0; word < last; word++) {
      if (view.getInt32(from + word * WORD_BYTES, true) !== words[word]) return false;
    }
    return view.getInt32(from + this.length - WORD_BYTES, true) === words[last];
  }
}

/**
 * A few heads that were read, and what they came to: all devices of a relay share one memory. Devices answer many requests with
 * the same bytes: to compare them costs a small part of reading them. Where heads differ each time, little is lost: most
 * are not remembered.
 */
export class HeadMemory {
  /** Those that were found more often stand further in front. */
  readonly #heads: RememberedHead[] = [];
  #misses = 0;

  /** The remembered head that stands at `from`, whole and before `limit`; null for none. */
  find(bytes: Uint8Array, from: number, limit: number): RememberedHead | null {
    const heads = this.#heads;
    for (let at = 0; at < heads.length; at++) {
      const head = heads[at] as RememberedHead;
      if (!head.standsAt(bytes, from, limit)) continue;
      if (at > 0) {
        heads[at] = heads[at - 1] as RememberedHead;
        heads[at - 1] = head;
      }
      this.#misses = 0;
      return head;
    }
    return null;
  }

  /** Whether a head of this length, which is another one, is worth remembering. */
  wants(length: number): boolean {
    this.#misses += 1;
    return (
      length <= REMEMBERED_BYTES_MAX &&
      (this.#misses <= MISSES_OFTEN || this.#misses % SELDOM === 0)
    );
  }

  /** Remembers a head, in place of the last one where there is no room. */
  note(head: RememberedHead): void {
    if (this.#heads.length === HEADS_MAX) this.#heads.pop();
    this.#heads.push(head);
  }
}
