import { Duplex } from "node:stream";
import type { AppError } from "../core/errors.ts";
import type { StreamHandler } from "./handlers.ts";
import type { Stream } from "./stream.ts";

/**
 * A stream as a Node Duplex: half-open, back-pressure both ways, destroy() resets.
 *
 * Each piece of payload is copied once, since the received chunk is only borrowed. Credit returns
 * as the reader takes the bytes out: what lies in the readable buffer is not consumed.
 */
class StreamDuplex extends Duplex implements StreamHandler {
  private readonly stream: Stream;
  private pendingWrite: ((error?: Error | null) => void) | null = null;
  /** Bytes pushed whose credit is not returned yet. */
  private owed = 0;
  private finished = false;

  constructor(stream: Stream) {
    super({ allowHalfOpen: true, autoDestroy: true });
    this.stream = stream;
  }

  streamOnData(_stream: Stream, chunk: Uint8Array, start: number, end: number): void {
    const owned = Buffer.from(chunk.subarray(start, end));
    this.owed += owned.length;
    this.push(owned);
    this.settle();
  }

  streamOnEnd(): void {
    this.push(null);
  }

  streamOnWritable(): void {
    this.release(null);
  }

  streamOnClose(_stream: Stream, error: AppError | null): void {
    this.finished = true;
    if (error !== null) {
      this.destroy(error);
      return;
    }
    this.release(null);
  }

  override _read(): void {
    // Called when the buffer is below its mark: what was read since is consumed.
    this.settle();
  }

  override read(size?: number): unknown {
    const data: unknown = super.read(size);
    this.settle();
    return data;
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    try {
      if (this.stream.write(chunk)) callback();
      else if (this.finished) callback();
      else this.pendingWrite = callback;
    } catch (error) {
      callback(error as Error);
    }
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (!this.finished) this.stream.end();
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    // With both sides ended the rest of ours is still on its way: it is left to arrive.
    const leaving = error === null && this.stream.localEnded && this.stream.remoteEnded;
    if (!this.finished && !leaving) this.stream.reset();
    this.finished = true;
    this.release(error);
    callback(error);
  }

  /** Returns credit for what has left the readable buffer. */
  private settle(): void {
    const taken = this.owed - this.readableLength;
    if (taken <= 0) return;
    this.owed -= taken;
    if (!this.finished) this.stream.consume(taken);
  }

  private release(error: Error | null): void {
    const callback = this.pendingWrite;
    this.pendingWrite = null;
    callback?.(error);
  }
}

/**
 * Wraps a stream; an inbound one that was not accepted is accepted. The Duplex becomes the stream's
 * handler. Its errors are those that streamOnClose gets.
 *
 * @throws ClosedError ERR_MUX_STREAM_CLOSED when an inbound stream is already gone
 */
export function toDuplex(stream: Stream): Duplex {
  const duplex = new StreamDuplex(stream);
  if (stream.inbound && !stream.accepted) stream.accept(duplex);
  else stream.handler = duplex;
  return duplex;
}
