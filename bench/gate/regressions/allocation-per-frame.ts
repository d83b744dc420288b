/** A regression on purpose: an object and a view for each frame that is decoded. */
import { Decoder, type FrameSink } from "../../../src/mux/decoder.ts";

interface Frame {
  readonly type: number;
  readonly streamId: number;
  readonly payload: Uint8Array;
}

/** The last one is reachable, so that no compiler leaves it out. */
export const seen: { last: Frame | null } = { last: null };
const bytes = new ArrayBuffer(64);

class Describing implements FrameSink {
  readonly #sink: FrameSink;
  constructor(sink: FrameSink) {
    this.#sink = sink;
  }
  frameOnData(flags: number, streamId: number, length: number): void {
    seen.last = { type: 0, streamId, payload: new Uint8Array(bytes, 0, 12) };
    this.#sink.frameOnData(flags, streamId, length);
  }
  frameOnPayload(chunk: Uint8Array, start: number, end: number): void {
    this.#sink.frameOnPayload(chunk, start, end);
  }
  frameOnDataEnd(): void {
    this.#sink.frameOnDataEnd();
  }
  frameOnControl(type: number, flags: number, streamId: number, length: number): void {
    seen.last = { type, streamId, payload: new Uint8Array(bytes, 0, 12) };
    this.#sink.frameOnControl(type, flags, streamId, length);
  }
  frameOnInvalid(version: number, type: number): void {
    this.#sink.frameOnInvalid(version, type);
  }
}

const { feed } = Decoder.prototype;
Decoder.prototype.feed = function describing(chunk, sink) {
  feed.call(this, chunk, new Describing(sink));
};
