import { FrameType, HEADER_BYTES, VERSION } from "./constants.ts";
import { byteAt, uint16At, uint32At } from "./frame.ts";

/** What a decoder reports. Everything travels as arguments; chunks are borrowed until the return. */
export interface FrameSink {
  /** Header of a Data frame, before any payload byte was awaited. */
  frameOnData(flags: number, streamId: number, length: number): void;
  /** Payload bytes chunk[start, end) of the Data frame announced last; as many calls as pieces arrive. */
  frameOnPayload(chunk: Uint8Array, start: number, end: number): void;
  /** The Data frame announced last is complete. Also called for an empty one. */
  frameOnDataEnd(): void;
  /** A frame without payload: WindowUpdate, Ping or GoAway. */
  frameOnControl(type: number, flags: number, streamId: number, length: number): void;
  /** Version or type is unknown. The sink must halt the decoder. */
  frameOnInvalid(version: number, type: number): void;
}

/**
 * Chunks in, frame events out. Keeps no bytes: a header cut by a message boundary is carried over
 * as three numbers, payload is handed on as it comes.
 *
 * Three paths: whole frame in the chunk; header cut in two; in the middle of a payload. A Go peer
 * sends header and payload as two messages, so the last is the common one.
 *
 * @see yamux spec.md, "Framing"
 */
export class Decoder {
  /** Payload bytes of the current Data frame that have not been reported yet. */
  remaining = 0;
  /** Set by the sink: nothing more is decoded, whatever arrives. */
  halted = false;
  private carried = 0;
  private word0 = 0;
  private word1 = 0;
  private word2 = 0;

  /** True inside a frame: the bytes so far do not end on a frame boundary. */
  get midFrame(): boolean {
    return this.remaining > 0 || this.carried > 0;
  }

  /** Decodes `chunk` (borrowed). Returns early once halted. */
  feed(chunk: Uint8Array, sink: FrameSink): void {
    const end = chunk.length;
    let at = 0;
    while (at < end && !this.halted) {
      if (this.remaining > 0) {
        const start = at;
        at = end - at < this.remaining ? end : at + this.remaining;
        this.remaining -= at - start;
        sink.frameOnPayload(chunk, start, at);
        if (this.remaining === 0 && !this.halted) sink.frameOnDataEnd();
        continue;
      }
      if (this.carried === 0 && end - at >= HEADER_BYTES) {
        const header = at;
        at += HEADER_BYTES;
        this.dispatch(
          byteAt(chunk, header),
          byteAt(chunk, header + 1),
          uint16At(chunk, header + 2),
          uint32At(chunk, header + 4),
          uint32At(chunk, header + 8),
          sink,
        );
        continue;
      }
      at = this.carry(chunk, at, end);
      if (this.carried < HEADER_BYTES) return;
      this.carried = 0;
      const { word0, word1, word2 } = this;
      this.dispatch(
        word0 >>> 24,
        (word0 >>> 16) & 0xff,
        word0 & 0xffff,
        word1 >>> 0,
        word2 >>> 0,
        sink,
      );
    }
  }

  /** Takes header bytes one by one until there are twelve. Returns the offset after the last one taken. */
  private carry(chunk: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at < end && this.carried < HEADER_BYTES) {
      const byte = byteAt(chunk, at);
      at += 1;
      if (this.carried < 4) this.word0 = (this.word0 << 8) | byte;
      else if (this.carried < 8) this.word1 = (this.word1 << 8) | byte;
      else this.word2 = (this.word2 << 8) | byte;
      this.carried += 1;
    }
    return at;
  }

  private dispatch(
    version: number,
    type: number,
    flags: number,
    streamId: number,
    length: number,
    sink: FrameSink,
  ): void {
    if (version !== VERSION || type > FrameType.GO_AWAY) {
      sink.frameOnInvalid(version, type);
    } else if (type === FrameType.DATA) {
      this.remaining = length;
      sink.frameOnData(flags, streamId, length);
      if (length === 0 && !this.halted) sink.frameOnDataEnd();
    } else {
      sink.frameOnControl(type, flags, streamId, length);
    }
  }
}
