import { AnswerFault } from "./answer-fault.ts";

const CR = 0x0d;
const LF = 0x0a;

const State = {
  /** At the first digit of a size. */
  SIZE_START: 0,
  SIZE: 1,
  SIZE_LF: 2,
  DATA: 3,
  DATA_CR: 4,
  DATA_LF: 5,
  /** Behind the last chunk: the empty line, or a trailer section. */
  END_CR: 6,
  END_LF: 7,
  DONE: 8,
} as const;
type State = (typeof State)[keyof typeof State];

/** A size of 2^48 and more is none. */
const SIZE_DIGITS_MAX = 12;

/** Takes the data `bytes[start, end)` of a chunk, borrowed. */
export type OnChunkData = (bytes: Buffer, start: number, end: number) => void;

/**
 * Finds the end of a chunked body, without extensions and trailers: the relay writes none. Keeps numbers only, so that the
 * bytes can be passed on as they came.
 *
 * @see RFC 9112, section 7.1
 */
export class ChunkScanner {
  #state: State = State.SIZE_START;
  #left = 0;
  #digits = 0;

  /** The empty line behind the last chunk was seen. */
  get isDone(): boolean {
    return this.#state === State.DONE;
  }

  /**
   * Reads `bytes[start, end)`.
   *
   * @param onData null where the data itself is not wanted
   * @returns where the body ended, or `end`
   * @throws AnswerFault
   */
  scan(bytes: Buffer, start: number, end: number, onData: OnChunkData | null): number {
    let at = start;
    while (at < end && this.#state !== State.DONE) {
      if (this.#state === State.DATA) {
        const stop = Math.min(end, at + this.#left);
        onData?.(bytes, at, stop);
        this.#left -= stop - at;
        at = stop;
        if (this.#left === 0) this.#state = State.DATA_CR;
      } else {
        this.#state = this.#next(bytes[at] ?? 0);
        at += 1;
      }
    }
    return at;
  }

  #next(byte: number): State {
    switch (this.#state) {
      case State.SIZE_START:
        this.#left = 0;
        this.#digits = 0;
        return this.#digit(byte);
      case State.SIZE:
        return byte === CR ? State.SIZE_LF : this.#digit(byte);
      case State.SIZE_LF:
        return expected(byte, LF, this.#left === 0 ? State.END_CR : State.DATA);
      case State.DATA_CR:
        return expected(byte, CR, State.DATA_LF);
      case State.DATA_LF:
        return expected(byte, LF, State.SIZE_START);
      case State.END_CR:
        return expected(byte, CR, State.END_LF);
      default:
        return expected(byte, LF, State.DONE);
    }
  }

  #digit(byte: number): State {
    const value = hexValue(byte);
    this.#digits += 1;
    if (value < 0 || this.#digits > SIZE_DIGITS_MAX) throw new AnswerFault("a malformed chunk");
    this.#left = this.#left * 16 + value;
    return State.SIZE;
  }
}

function expected(byte: number, wanted: number, next: State): State {
  if (byte !== wanted) throw new AnswerFault("a malformed chunk");
  return next;
}

/** -1 for what is no hexadecimal digit. */
function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
