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

/** What a sender may spend on a message besides its data. */
export interface ChunkLimits {
  /** Hexadecimal digits of a size, which must be a safe integer as well. */
  readonly sizeDigitsMax: number;
  /** Bytes of all chunk extensions, which are read and dropped; 0 where none may be there. */
  readonly extensionBytesMax: number;
  /** Bytes of the trailer section, which is read and dropped; 0 where none may be there. */
  readonly trailerBytesMax: number;
}

/** Which part of the coding breaks a rule. */
export type ChunkProblem = "LINE_END" | "CHUNK_SIZE" | "CHUNK_EXTENSION" | "CHUNK_END" | "TRAILER";

/**
 * Strict decoder of the chunked coding. `next` walks to the next piece of data; the caller takes it and calls again.
 * Keeps numbers only, never bytes.
 *
 * @see RFC 9112 section 7.1
 */
export class ChunkedBody {
  /** Set once; nothing is read after it. */
  problem: ChunkProblem | null = null;
  /** Where the data that `next` found ends; it starts at what `next` gave. */
  dataEnd = 0;
  private state: State = State.SIZE_START;
  private remaining = 0;
  private digits = 0;
  private extensionBytes = 0;
  private trailerBytes = 0;
  private readonly sizeDigitsMax: number;
  private readonly extensionBytesMax: number;
  private readonly trailerBytesMax: number;

  constructor({ sizeDigitsMax, extensionBytesMax, trailerBytesMax }: ChunkLimits) {
    this.sizeDigitsMax = sizeDigitsMax;
    this.extensionBytesMax = extensionBytesMax;
    this.trailerBytesMax = trailerBytesMax;
  }

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

  private fail(problem: ChunkProblem): State {
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
        if (this.extensionBytesMax > 0) {
          if (byte === SEMICOLON) return State.EXTENSION;
          if (byte === SP || byte === TAB) return State.SIZE_SPACE;
        }
        return this.sizeDigit(byte);
      case State.SIZE_LF:
        if (byte !== LF) return this.fail("LINE_END");
        return this.remaining === 0 ? State.TRAILER_START : State.DATA;
      default:
        return this.extension(byte);
    }
  }

  private sizeDigit(byte: number): State {
    const value = hexValue(byte);
    if (byte === LF) return this.fail("LINE_END");
    if (value < 0 || ++this.digits > this.sizeDigitsMax) {
      return this.fail("CHUNK_SIZE");
    }
    this.remaining = this.remaining * 16 + value;
    if (this.remaining > Number.MAX_SAFE_INTEGER) return this.fail("CHUNK_SIZE");
    return State.SIZE;
  }

  private extension(byte: number): State {
    if (byte === LF) return this.fail("LINE_END");
    if (++this.extensionBytes > this.extensionBytesMax) {
      return this.fail("CHUNK_EXTENSION");
    }
    if (this.state === State.SIZE_SPACE) {
      if (byte === SEMICOLON) return State.EXTENSION;
      if (byte === SP || byte === TAB) return State.SIZE_SPACE;
      return this.fail("CHUNK_SIZE");
    }
    if (byte === CR) return State.SIZE_LF;
    if ((byteAt(BYTE_CLASS, byte) & TEXT) !== 0) return State.EXTENSION;
    return this.fail("CHUNK_EXTENSION");
  }

  private behindData(byte: number): State {
    switch (this.state) {
      case State.DATA_CR:
        return byte === CR ? State.DATA_LF : this.fail("CHUNK_END");
      case State.DATA_LF:
        return byte === LF ? State.SIZE_START : this.fail("CHUNK_END");
      case State.END_LF:
        return byte === LF ? State.DONE : this.fail("LINE_END");
      default:
        return this.trailer(byte);
    }
  }

  private trailer(byte: number): State {
    if (this.state === State.TRAILER_START && byte === CR) return State.END_LF;
    if (++this.trailerBytes > this.trailerBytesMax) return this.fail("TRAILER");
    if (this.state === State.TRAILER_LF) {
      return byte === LF ? State.TRAILER_START : this.fail("LINE_END");
    }
    if (byte === LF) return this.fail("LINE_END");
    const byteClass = byteAt(BYTE_CLASS, byte);
    if (this.state === State.TRAILER_VALUE) {
      if (byte === CR) return State.TRAILER_LF;
      return (byteClass & TEXT) !== 0 ? State.TRAILER_VALUE : this.fail("TRAILER");
    }
    if (this.state === State.TRAILER_NAME && byte === COLON) return State.TRAILER_VALUE;
    return (byteClass & TOKEN) !== 0 ? State.TRAILER_NAME : this.fail("TRAILER");
  }
}
