import type { HttpResponse } from "uWebSockets.js";
import { ByteQueue, type MuxPools } from "../mux/index.ts";
import { EVENT_STREAM_OPENING, isEventStream, markBytes } from "./event-stream.ts";

/** Largest piece handed to uWS while its buffer may still hold earlier bytes. */
const PROBE_BYTES = 32 * 1024;

/** Bodies up to this size are handed to uWS at once, all but one in so many. */
const SMALL_BODY_BYTES = 4_096;
const SMALL_BODIES_AT_ONCE = 16;
/** The same while the relay stops: only so is the client told that its connection ends. A socket takes as much. */
const LAST_BODY_BYTES = 16_384;

const NO_BODY = new Uint8Array(0);

function nothing(): void {}

/** Who uses a `ResponseOut`. */
export interface ResponseOutOwner {
  /** `n` body bytes that were kept have now been taken by the client's socket. */
  outOnTaken(n: number): void;
  /** The next call may end the response, after which the `HttpResponse` must not be touched. */
  outOnLast(): void;
  /** The whole response has been handed over; the `HttpResponse` must not be touched any more. */
  outOnFinished(): void;
}

/**
 * Writes one response to its client through uWS, and knows how much of it the client's socket took: only those bytes
 * earn the device new credit.
 *
 * With a known length uWS keeps nothing (`tryEnd` takes what the kernel takes); what was not taken waits in `#held`,
 * bounded by the stream's window. Without a length (`write`, chunked) uWS buffers what the kernel did not take, so
 * after a refusal only one piece of `PROBE_BYTES` goes in per writable event, and the rest waits in `#held` too.
 */
export class ResponseOut {
  #res: HttpResponse | null = null;
  readonly #owner: ResponseOutOwner;
  /** Declared body length, -1 for chunked. */
  #length = -1;
  #begun = false;
  #blocked = false;
  /** uWS's own buffer may hold bytes: write small pieces until one is taken at once. */
  #probing = false;
  /** The body ends after what is held. */
  #ended = false;
  #finished = false;
  #writableSet = false;
  /** A stream of events whose first bytes are ours: the device's have not come yet. */
  #opened = false;
  /** Body bytes taken so far, where the length is known: uWS's own write offset. */
  #offset = 0;
  /** Bytes that the client did not take yet, in pooled chunks. */
  readonly #held = new ByteQueue();
  readonly #pools: MuxPools;
  /** Bytes uWS buffered (chunked), not yet reported as taken. */
  #inUwsBytes = 0;
  readonly #onWritable: (offset: number) => boolean;

  constructor(owner: ResponseOutOwner, pools: MuxPools) {
    this.#owner = owner;
    this.#pools = pools;
    this.#onWritable = () => this.#writable();
  }

  /** Prepares for one response. Nothing is written. */
  attach(res: HttpResponse): void {
    this.#res = res;
    this.#length = -1;
    this.#begun = false;
    this.#blocked = false;
    this.#probing = false;
    this.#ended = false;
    this.#finished = false;
    this.#writableSet = false;
    this.#opened = false;
    this.#offset = 0;
    this.#inUwsBytes = 0;
  }

  /** Lets go of the response: it was aborted or is finished. Kept bytes are dropped. */
  detach(): void {
    this.#res = null;
    if (this.#held.bytes > 0) this.#held.clear(this.#pools);
    this.#inUwsBytes = 0;
    this.#finished = true;
  }

  get begun(): boolean {
    return this.#begun;
  }

  /** Body bytes received and not yet taken by the client's socket, as far as is known. */
  get pendingBytes(): number {
    return this.#held.bytes + this.#inUwsBytes;
  }

  /** True while the client's socket takes nothing more. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /**
   * A whole response in one go. Call corked.
   *
   * @param head `200 OK\r\nname: value…` without a trailing CRLF
   * @param length for `noBody`: the length to report, -1 for none
   * @param close end the client's connection after it
   */
  whole(head: Uint8Array, body: Uint8Array | null, length: number, close: boolean): void {
    const res = this.#res;
    if (res === null) return;
    this.#begun = true;
    res.writeStatus(head);
    this.#res = null;
    this.#finished = true;
    if (body !== null) res.end(body, close);
    else if (length >= 0) res.endWithoutBody(length, close);
    // uWS reads an absent length as a number when anything follows it: without one the connection cannot be closed here.
    else res.endWithoutBody();
    this.#owner.outOnFinished();
  }

  /**
   * Writes the head and the first body bytes of a response that goes on. Call corked.
   *
   * uWS ends a head with the first body byte, and has no call to do it before. A stream of events may be silent for long,
   * and is one from its head on: it gets a comment for its first bytes.
   *
   * @param length declared body length, -1 when unknown
   * @param first borrowed; what is not taken is copied
   * @returns how many bytes of `first` were taken at once
   */
  begin(head: Uint8Array, length: number, first: Uint8Array): number {
    const res = this.#res;
    if (res === null) return 0;
    this.#begun = true;
    this.#length = length;
    res.writeStatus(head);
    if (length < 0) {
      this.#setWritable(res);
      if (first.length > 0) return this.push(first, 0, first.length);
      if (isEventStream(head)) this.#open(res);
      return 0;
    }
    // An empty `tryEnd` would end the response.
    return first.length === 0 ? 0 : this.push(first, 0, first.length);
  }

  /**
   * Body bytes `chunk[start, end)`, borrowed. What the client does not take now is copied and kept.
   *
   * @returns how many bytes were taken at once; the rest is reported by `outOnTaken`
   */
  push(chunk: Uint8Array, start: number, end: number): number {
    if (this.#res === null) return end - start;
    if (this.#opened) {
      this.#opened = false;
      const skipped = markBytes(chunk, start, end);
      if (skipped > 0) return skipped + this.push(chunk, start + skipped, end);
    }
    if (this.#blocked || this.#held.bytes > 0) {
      this.#keep(chunk, start, end);
      return 0;
    }
    let stop = end;
    if (this.#probing && end - start > PROBE_BYTES) stop = start + PROBE_BYTES;
    const taken = this.#write(chunk, start, stop);
    if (start + taken < end && this.#res !== null) {
      if (this.#length < 0 && this.#blocked) {
        // uWS buffered the piece: it is ours no more, but not the client's yet.
        this.#keep(chunk, stop, end);
        return 0;
      }
      this.#keep(chunk, start + taken, end);
      if (!this.#blocked) return taken + this.#drainHeld();
    }
    return taken;
  }

  /** The body is complete. Finishes now, or when what is kept has gone out. */
  end(): void {
    this.#ended = true;
    if (this.#held.bytes === 0) this.#finishChunked();
  }

  /**
   * Resets uWS's own progress timer, which would abort a slow but healthy client. A failed write does that, and makes
   * uWS wait for the socket again; `resume` alone would make it forget to.
   */
  keepAwake(): void {
    const res = this.#res;
    if (res === null || !this.#blocked) return;
    if (this.#length >= 0) this.#writable();
    else res.cork(nothing);
  }

  #open(res: HttpResponse): void {
    this.#opened = true;
    if (res.write(EVENT_STREAM_OPENING)) return;
    this.#blocked = true;
    this.#probing = true;
  }

  #keep(chunk: Uint8Array, start: number, end: number): void {
    if (start < end) this.#held.push(this.#pools, chunk, start, end);
  }

  #setWritable(res: HttpResponse): void {
    if (this.#writableSet) return;
    this.#writableSet = true;
    res.onWritable(this.#onWritable);
  }

  /** One write. Returns how many bytes were taken; sets `#blocked` when the socket is full. */
  #write(chunk: Uint8Array, start: number, end: number): number {
    const res = this.#res;
    if (res === null) return end - start;
    const view = start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end);
    if (this.#length >= 0) return this.#tryEnd(res, view);
    if (end === start) return 0;
    if (res.write(view)) {
      this.#probing = false;
      const late = this.#inUwsBytes;
      this.#inUwsBytes = 0;
      if (late > 0) this.#owner.outOnTaken(late);
      return end - start;
    }
    this.#blocked = true;
    this.#probing = true;
    this.#inUwsBytes += end - start;
    return 0;
  }

  #tryEnd(res: HttpResponse, view: Uint8Array): number {
    const before = this.#offset;
    if (before + view.length >= this.#length) this.#owner.outOnLast();
    const [ok, done] = res.tryEnd(view, this.#length);
    if (done) {
      this.#finished = true;
      this.#res = null;
      return view.length;
    }
    if (ok) {
      this.#offset = before + view.length;
      return view.length;
    }
    this.#blocked = true;
    this.#setWritable(res);
    this.#offset = res.getWriteOffset();
    return this.#offset - before;
  }

  /** Writes kept pieces until the socket is full again. Returns the bytes taken. */
  #drainHeld(): number {
    let taken = 0;
    const held = this.#held;
    while (!this.#blocked && held.head !== null) {
      const { bytes, start, end } = held.head;
      const stop = this.#probing ? Math.min(end, start + PROBE_BYTES) : end;
      const n = this.#write(bytes, start, stop);
      held.drop(this.#pools, this.#length < 0 ? stop - start : n);
      taken += n;
    }
    return taken;
  }

  #writable(): boolean {
    const res = this.#res;
    if (res === null) return true;
    this.#blocked = false;
    let taken = 0;
    if (this.#length < 0) {
      // uWS drains its buffer only with the next write or uncork of ours.
      res.cork(nothing);
      if (this.#held.bytes === 0) {
        taken = this.#inUwsBytes;
        this.#inUwsBytes = 0;
      }
    }
    taken += this.#drainHeld();
    if (taken > 0) this.#owner.outOnTaken(taken);
    if (this.#finished && this.#length >= 0) this.#owner.outOnFinished();
    else if (this.#ended && this.#held.bytes === 0) this.#finishChunked();
    return !this.#blocked;
  }

  #finishChunked(): void {
    const res = this.#res;
    if (this.#length >= 0) {
      // `tryEnd` finishes by itself with the last byte.
      if (this.#finished) this.#owner.outOnFinished();
      return;
    }
    if (res === null || this.#finished) return;
    this.#owner.outOnLast();
    this.#finished = true;
    this.#res = null;
    res.cork(() => {
      res.end(NO_BODY);
    });
    this.#owner.outOnFinished();
  }
}

/**
 * Whether a body that is here as a whole is to be written by `begin`, which keeps with the exchange what the client does
 * not take, rather than by `whole`: there uWS keeps it, without bound, answer after answer on one connection. Asking
 * costs a little, so that small bodies ask now and then: who does not read is found soon enough.
 *
 * @param serial counts the requests of one exchange object
 */
export function keepsUntaken(length: number, serial: number, draining: boolean): boolean {
  if (draining) return length > LAST_BODY_BYTES;
  return length > SMALL_BODY_BYTES || (length > 0 && serial % SMALL_BODIES_AT_ONCE === 0);
}
