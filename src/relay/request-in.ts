import type { HttpResponse } from "uWebSockets.js";
import type { Stream } from "../mux/index.ts";

const LAST_CHUNK = "0\r\n\r\n";

/** Who uses a `RequestIn`. */
export interface RequestInOwner {
  requestOnActivity(): void;
  /** The stream refused a write: it is gone. */
  requestOnStreamGone(): void;
}

/**
 * The body of one request on its way from the client to a stream. It is never buffered without bound: when the stream
 * takes no more, the client is paused.
 */
export class RequestIn {
  readonly #owner: RequestInOwner;
  #res: HttpResponse | null = null;
  #stream: Stream | null = null;
  #chunked = false;
  /** Pieces that came before there was a stream: at most what one read of the socket had. */
  #early: Uint8Array[] | null = null;
  /** The client's last byte was seen. */
  #received = true;
  /** Rises with each request, so that a late callback of an earlier one is known as such. */
  #serial = 0;
  paused = false;
  /** Every byte of the body was handed to the stream. */
  complete = true;
  /** Part of the body was handed to a stream: the request cannot be sent again. */
  started = false;
  /** Body bytes received from the client. */
  bytes = 0;

  constructor(owner: RequestInOwner) {
    this.#owner = owner;
  }

  /**
   * Prepares for one request and begins to receive its body, if it has one.
   *
   * @param contentLength bytes, -1 when not declared
   */
  attach(res: HttpResponse, contentLength: number, chunked: boolean): void {
    this.#res = res;
    this.#stream = null;
    this.#chunked = chunked;
    this.#early = null;
    this.#serial += 1;
    this.paused = false;
    this.started = false;
    this.bytes = 0;
    const hasBody = chunked || contentLength > 0;
    this.complete = !hasBody;
    this.#received = !hasBody;
    if (!hasBody) return;
    const serial = this.#serial;
    res.onData((piece, isLast) => {
      if (serial === this.#serial) this.#onData(piece, isLast);
    });
  }

  /** Sends the body to `stream` from now on; its head was written before. */
  start(stream: Stream): void {
    this.#stream = stream;
    if (this.complete) {
      // A body that came whole and empty, sent for the second time: its end is to be said again.
      if (this.#chunked && !this.started) stream.writeLatin1(LAST_CHUNK);
      return;
    }
    const early = this.#early;
    this.#early = null;
    let writable = stream.isWritable;
    if (early !== null) {
      for (const piece of early) writable = this.#write(stream, piece);
    }
    if (this.#received) this.#finish(stream);
    else this.#pause(!writable);
  }

  /** The stream takes bytes again. */
  writable(): void {
    if (this.#stream !== null && !this.complete) this.#pause(false);
  }

  /** The stream is gone and nothing of the body was sent: what comes waits for the next stream. */
  unbind(): void {
    this.#stream = null;
  }

  /** Nothing more is sent; what the client still sends is dropped. */
  stop(): void {
    this.#stream = null;
    this.#early = null;
    if (this.complete || this.#res === null) return;
    this.#serial += 1;
    this.#pause(false);
  }

  /** Resets the timer by which uWS aborts a client that sends too little, paused ones included. */
  keepAwake(): void {
    if (this.complete || this.#res === null) return;
    this.#res.resume();
    if (this.paused) this.#res.pause();
  }

  /** Lets go of the response. */
  detach(): void {
    this.#res = null;
    this.#stream = null;
    this.#early = null;
    this.#serial += 1;
    this.paused = false;
  }

  #onData(piece: ArrayBuffer, isLast: boolean): void {
    this.bytes += piece.byteLength;
    if (isLast) this.#received = true;
    this.#owner.requestOnActivity();
    const stream = this.#stream;
    if (stream === null) {
      // uWS detaches the bytes after this call: the only copy of an early piece.
      if (this.#early === null) this.#early = [];
      if (piece.byteLength > 0) this.#early.push(new Uint8Array(piece).slice());
      if (!isLast) this.#pause(true);
      return;
    }
    try {
      const writable = piece.byteLength === 0 || this.#write(stream, new Uint8Array(piece));
      if (isLast) this.#finish(stream);
      else if (!writable) this.#pause(true);
    } catch {
      this.stop();
      this.#owner.requestOnStreamGone();
    }
  }

  #write(stream: Stream, piece: Uint8Array): boolean {
    this.started = true;
    if (!this.#chunked) return stream.write(piece);
    stream.writeLatin1(`${piece.length.toString(16)}\r\n`);
    stream.write(piece);
    return stream.writeLatin1("\r\n");
  }

  #finish(stream: Stream): void {
    if (this.#chunked) stream.writeLatin1(LAST_CHUNK);
    this.complete = true;
    this.#pause(false);
  }

  #pause(pause: boolean): void {
    if (this.paused === pause || this.#res === null) return;
    this.paused = pause;
    if (pause) this.#res.pause();
    else this.#res.resume();
  }
}
