import {
  BYTE_CLASS,
  byteAt,
  COLON,
  CR,
  hexValue,
  LF,
  SEMICOLON,
  SP,
  TAB,
  TEXT,
  TOKEN,
} from "./bytes.ts";
import type { ResponseErrorCode } from "./errors.ts";

/** Where the decoder stands. */
const State = {
  /** At the first digit of a chunk size. */
  SIZE_START: 0,
  SIZE: 1,
  /** In the white space before an extension. */
  SIZE_SPACE: 2,
  EXTENSION: 3,
  SIZE_LF: 4,
  DATA: 5,
  DATA_CR: 6,
  DATA_LF: 7,
  /** At the start of a line behind the last chunk. */
  TRAILER_START: 8,
  TRAILER_NAME: 9,
  TRAILER_VALUE: 10,
  TRAILER_LF: 11,
  END_LF: 12,
  DONE: 13,
  FAILED: 14,
} as const;
type State = (typeof State)[keyof typeof State];

const SIZE_DIGITS_MAX = 16;
/** Bytes of all chunk extensions of a message. They are not used; the limit keeps a device from sending nothing else. */
export const EXTENSION_BYTES_MAX = 4_096;
/** Bytes of the trailer section, which is read and dropped. */
export const TRAILER_BYTES_MAX = 16_384;

/**
 * Strict decoder of the chunked coding. `next` walks to the next piece of data; the caller takes it and calls again.
 * Keeps numbers only, never bytes.
 *
 * @see RFC 9112 section 7.1
 */
export class ChunkedBody {
  problem: ResponseErrorCode | null = null;
  /** Where the data that `next` found ends; it starts at what `next` gave. */
  dataEnd = 0;
  private state: State = State.SIZE_START;
  private remaining = 0;
  private digits = 0;
  private extensionBytes = 0;
  private trailerBytes = 0;

  reset(): void {
    this.problem = null;
    this.dataEnd = 0;
    this.state = State.SIZE_START;
    this.remaining = 0;
    this.digits = 0;
    this.extensionBytes = 0;
    this.trailerBytes = 0;
  }

  /** The last chunk and the trailer section have been read. */
  get done(): boolean {
    return this.state === State.DONE;
  }

  /**
   * Reads [from, end) up to the next data, the end of the message, a violation or the end of the bytes.
   *
   * @returns the offset where it stopped; data lies in [offset, dataEnd) if dataEnd is greater
   */
  next(bytes: Uint8Array, from: number, end: number): number {
    let at = from;
    this.dataEnd = 0;
    while (at < end) {
      if (this.state === State.DATA) {
        this.dataEnd = Math.min(end, at + this.remaining);
        this.remaining -= this.dataEnd - at;
        if (this.remaining === 0) this.state = State.DATA_CR;
        return at;
      }
      if (this.state >= State.DONE) return at;
      const byte = byteAt(bytes, at++);
      this.state = this.state < State.DATA_CR ? this.sizeLine(byte) : this.behindData(byte);
    }
    return at;
  }

  private fail(problem: ResponseErrorCode): State {
    this.problem = problem;
    return State.FAILED;
  }

  private sizeLine(byte: number): State {
    switch (this.state) {
      case State.SIZE_START:
        this.remaining = 0;
        this.digits = 0;
        return this.sizeDigit(byte);
      case State.SIZE:
        if (byte === CR) return State.SIZE_LF;
        if (byte === SEMICOLON) return State.EXTENSION;
        if (byte === SP || byte === TAB) return State.SIZE_SPACE;
        return this.sizeDigit(byte);
      case State.SIZE_LF:
        if (byte !== LF) return this.fail("ERR_HTTP_RESPONSE_LINE_END");
        return this.remaining === 0 ? State.TRAILER_START : State.DATA;
      default:
        return this.extension(byte);
    }
  }

  private sizeDigit(byte: number): State {
    const value = hexValue(byte);
    if (byte === LF) return this.fail("ERR_HTTP_RESPONSE_LINE_END");
    if (value < 0 || ++this.digits > SIZE_DIGITS_MAX) {
      return this.fail("ERR_HTTP_RESPONSE_CHUNK_SIZE");
    }
    this.remaining = this.remaining * 16 + value;
    if (this.remaining > Number.MAX_SAFE_INTEGER) return this.fail("ERR_HTTP_RESPONSE_CHUNK_SIZE");
    return State.SIZE;
  }

  private extension(byte: number): State {
    if (byte === LF) return this.fail("ERR_HTTP_RESPONSE_LINE_END");
    if (++this.extensionBytes > EXTENSION_BYTES_MAX) {
      return this.fail("ERR_HTTP_RESPONSE_CHUNK_EXTENSION");
    }
    if (this.state === State.SIZE_SPACE) {
      if (byte === SEMICOLON) return State.EXTENSION;
      if (byte === SP || byte === TAB) return State.SIZE_SPACE;
      return this.fail("ERR_HTTP_RESPONSE_CHUNK_SIZE");
    }
    if (byte === CR) return State.SIZE_LF;
    if ((byteAt(BYTE_CLASS, byte) & TEXT) !== 0) return State.EXTENSION;
    return this.fail("ERR_HTTP_RESPONSE_CHUNK_EXTENSION");
  }

  private behindData(byte: number): State {
    switch (this.state) {
      case State.DATA_CR:
        return byte === CR ? State.DATA_LF : this.fail("ERR_HTTP_RESPONSE_CHUNK_END");
      case State.DATA_LF:
        return byte === LF ? State.SIZE_START : this.fail("ERR_HTTP_RESPONSE_CHUNK_END");
      case State.END_LF:
        return byte === LF ? State.DONE : this.fail("ERR_HTTP_RESPONSE_LINE_END");
      default:
        return this.trailer(byte);
    }
  }

  private trailer(byte: number): State {
    if (this.state === State.TRAILER_START && byte === CR) return State.END_LF;
    if (++this.trailerBytes > TRAILER_BYTES_MAX) return this.fail("ERR_HTTP_RESPONSE_TRAILER");
    if (this.state === State.TRAILER_LF) {
      return byte === LF ? State.TRAILER_START : this.fail("ERR_HTTP_RESPONSE_LINE_END");
    }
    if (byte === LF) return this.fail("ERR_HTTP_RESPONSE_LINE_END");
    const byteClass = byteAt(BYTE_CLASS, byte);
    if (this.state === State.TRAILER_VALUE) {
      if (byte === CR) return State.TRAILER_LF;
      return (byteClass & TEXT) !== 0
        ? State.TRAILER_VALUE
        : this.fail("ERR_HTTP_RESPONSE_TRAILER");
    }
    if (this.state === State.TRAILER_NAME && byte === COLON) return State.TRAILER_VALUE;
    return (byteClass & TOKEN) !== 0 ? State.TRAILER_NAME : this.fail("ERR_HTTP_RESPONSE_TRAILER");
  }
}
