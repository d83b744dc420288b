/** Where finished lines go. What is written belongs to the sink from then on. */
export interface LineSink {
  write(lines: Uint8Array): unknown;
}

/** Bytes of a block: some two hundred lines of the access log, one write of the file. */
const BLOCK_BYTES = 64 * 1024;
/** Longest escape of one UTF-16 unit: `\u00e9`. */
const ESCAPE_BYTES = 6;
/** Bytes of a word: fixed pieces are written word by word, four times faster than byte by byte. */
const WORD_BYTES = 4;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const DELETE = 0x7f;
const ZERO = 0x30;
const HEX = Buffer.from("0123456789abcdef", "latin1");

/** A fixed part of lines. */
export class LinePiece {
  /** Bytes of the piece. */
  readonly length: number;
  /** The same as little-endian words; the last one is filled up with zeros. */
  readonly words: Int32Array;

  constructor(text: string) {
    const bytes = Buffer.from(text, "utf8");
    this.length = bytes.length;
    this.words = new Int32Array(Math.ceil(bytes.length / WORD_BYTES));
    const padded = Buffer.alloc(this.words.length * WORD_BYTES);
    bytes.copy(padded);
    for (let at = 0; at < this.words.length; at++) {
      this.words[at] = padded.readInt32LE(at * WORD_BYTES);
    }
  }

  /** Writes a whole number that is not negative over the `count` characters from `at` on; it has so many digits. */
  putNumber(at: number, count: number, value: number): void {
    const { words } = this;
    let rest = value;
    for (let place = at + count - 1; place >= at; place--) {
      const next = Math.floor(rest / 10);
      const shift = 8 * (place % WORD_BYTES);
      const word = Math.floor(place / WORD_BYTES);
      words[word] =
        ((words[word] as number) & ~(0xff << shift)) | ((ZERO + rest - next * 10) << shift);
      rest = next;
    }
  }
}

/**
 * Gathers lines as bytes and hands them on in blocks. Nothing but the blocks is allocated: a log line for each
 * request made from strings cost 14 % of a small request, most of it in joining, flattening and encoding them.
 *
 * A line is written by `reserve` and then any of the others; what they write must fit the reserve.
 */
export class AsciiLines {
  readonly #sink: LineSink;
  #block: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  /** block[#from, #used) is not yet handed on; what lies before belongs to the sink. */
  #from = 0;
  #used = 0;

  constructor(sink: LineSink) {
    this.#sink = sink;
  }

  /** Makes room for `fixedBytes`, and for texts of together `textUnits` UTF-16 units with whatever escapes they need. */
  reserve(fixedBytes: number, textUnits: number): void {
    const needed = fixedBytes + ESCAPE_BYTES * textUnits + WORD_BYTES;
    if (needed <= this.#block.length - this.#used) return;
    this.flush();
    this.#block = Buffer.allocUnsafeSlow(Math.max(needed, BLOCK_BYTES));
    this.#view = new DataView(this.#block.buffer);
    this.#from = 0;
    this.#used = 0;
  }

  /** Writes whole words; what the last one has too many is written over by the next call. */
  piece(piece: LinePiece): void {
    const { length, words } = piece;
    const used = this.#used;
    const view = this.#view;
    for (let at = 0; at < words.length; at++) {
      view.setInt32(used + at * WORD_BYTES, words[at] as number, true);
    }
    this.#used = used + length;
  }

  /** The inside of a JSON string. All but printable ASCII is escaped, so that a line stays ASCII. */
  text(text: string): void {
    const block = this.#block;
    let used = this.#used;
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at);
      if (unit >= SPACE && unit < DELETE && unit !== QUOTE && unit !== BACKSLASH) {
        block[used] = unit;
        used += 1;
      } else {
        used = escaped(block, used, unit);
      }
    }
    this.#used = used;
  }

  /** A whole number that is not negative, in decimal. */
  number(value: number): void {
    if (value > 0x7fff_ffff) {
      // A time: as text it would be made, and thrown away, for each line.
      const millions = Math.floor(value / 1e6);
      this.number(millions);
      this.#digits(value - millions * 1e6, 6);
      return;
    }
    let digits = 1;
    for (let limit = 10; value >= limit; limit *= 10) digits += 1;
    this.#digits(value, digits);
  }

  /** Writes the last `digits` digits of a number below 2^31. */
  #digits(value: number, digits: number): void {
    const block = this.#block;
    const end = this.#used + digits;
    let rest = value | 0;
    for (let at = end - 1; at >= this.#used; at--) {
      const next = (rest / 10) | 0;
      block[at] = ZERO + rest - next * 10;
      rest = next;
    }
    this.#used = end;
  }

  /** Hands what is gathered to the sink. */
  flush(): void {
    if (this.#from === this.#used) return;
    const lines = this.#block.subarray(this.#from, this.#used);
    this.#from = this.#used;
    this.#sink.write(lines);
  }
}

/** Writes one UTF-16 unit as `\uXXXX`. Returns the offset behind it. */
function escaped(block: Uint8Array, at: number, unit: number): number {
  block[at] = BACKSLASH;
  block[at + 1] = 0x75;
  for (let digit = 0; digit < 4; digit++) {
    block[at + 2 + digit] = HEX[(unit >> (12 - 4 * digit)) & 15] as number;
  }
  return at + ESCAPE_BYTES;
}
