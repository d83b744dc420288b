import { type AsciiLines, LinePiece } from "./ascii-lines.ts";

/** The two HTTP fronts by number. */
export const FRONT_NAMES = ["edge", "internal"] as const;

const BEFORE_TIME = '{"level":30,"time":';
const EDGE = new LinePiece(`${FRONT_NAMES[0]}","request_id":"`);
const INTERNAL = new LinePiece(`${FRONT_NAMES[1]}","request_id":"`);
const DEVICE = new LinePiece('","device":"');
const KEY = new LinePiece('","key":"');
const METHOD = new LinePiece('","method":"');
const STATUS = new LinePiece('","status":');
const STAGE = new LinePiece(',"stage":"');
const BYTES_IN = new LinePiece(',"bytes_in":');
const BYTES_IN_AFTER_STAGE = new LinePiece('","bytes_in":');
const BYTES_OUT = new LinePiece(',"bytes_out":');
const FIRST_BYTE = new LinePiece(',"first_byte_us":');
const TOTAL = new LinePiece(',"total_us":');
const END = new LinePiece("}\n");

/** More than a line takes beside its bindings and the texts that vary: names, punctuation and six numbers. */
const FIXED_BYTES = 512;

/**
 * One JSON line for each request, in pino's shape, written as bytes: no object, no serializer, no string.
 *
 * Lines are gathered and handed to the destination in blocks, by `flush()` (the relay's interval and its close) or
 * when a block is full. No field holds a secret: keys, tokens and devices appear by their public ids only, and the
 * request target not at all.
 */
export class AccessLog {
  /** Set from outside when the log level changes; off costs one branch. */
  enabled: boolean;
  readonly #lines: AsciiLines;
  readonly #bindings: string;
  readonly #wallNow: () => number;
  /** The line up to the front's name, for the millisecond `#time`: many lines share one. */
  #opening = new LinePiece("");
  #time = -1;
  #timeDigits = 0;

  /**
   * @param lines other logs may write to them, too
   * @param bindings pino's prepared bindings, `,"pid":1,"hostname":"x"`, or "" for none
   * @param wallNow ms since the epoch
   */
  constructor(lines: AsciiLines, enabled = true, bindings = "", wallNow = Date.now) {
    this.#wallNow = wallNow;
    this.#lines = lines;
    this.enabled = enabled;
    this.#bindings = bindings;
  }

  /**
   * Writes one line. Allocates nothing but the next block.
   *
   * @param front 0 the edge, 1 the internal API
   * @param requestId as told to the device and to the client
   * @param deviceId validated id, "" where none was named
   * @param keyId public reference of the key, "" where none was shown
   * @param status the answer's; 499 where the client left first
   * @param stage where the request failed, null for one that did not
   * @param bytesIn body bytes from the client
   * @param bytesOut body bytes to the client
   * @param firstByteMs from the request's head to the response's head; negative for none
   * @param totalMs from the request's head to the end of the response
   */
  request(
    front: 0 | 1,
    requestId: string,
    deviceId: string,
    keyId: string,
    method: string,
    status: number,
    stage: string | null,
    bytesIn: number,
    bytesOut: number,
    firstByteMs: number,
    totalMs: number,
  ): void {
    if (!this.enabled) return;
    const time = this.#wallNow();
    if (time !== this.#time) this.#open(time);
    const lines = this.#lines;
    const varying = requestId.length + deviceId.length + keyId.length + method.length;
    lines.reserve(this.#opening.length + FIXED_BYTES, varying);
    lines.piece(this.#opening);
    lines.piece(front === 0 ? EDGE : INTERNAL);
    lines.text(requestId);
    lines.piece(DEVICE);
    lines.text(deviceId);
    lines.piece(KEY);
    lines.text(keyId);
    lines.piece(METHOD);
    lines.text(method);
    lines.piece(STATUS);
    lines.number(status);
    if (stage !== null) {
      lines.piece(STAGE);
      lines.text(stage);
      lines.piece(BYTES_IN_AFTER_STAGE);
    } else {
      lines.piece(BYTES_IN);
    }
    lines.number(bytesIn);
    lines.piece(BYTES_OUT);
    lines.number(bytesOut);
    // Times are whole microseconds.
    if (firstByteMs >= 0) {
      lines.piece(FIRST_BYTE);
      lines.number(Math.round(firstByteMs * 1_000));
    }
    lines.piece(TOTAL);
    lines.number(Math.round(totalMs * 1_000));
    lines.piece(END);
  }

  /** Hands what is gathered, lines of other logs included, to the destination. */
  flush(): void {
    this.#lines.flush();
  }

  #open(time: number): void {
    this.#time = time;
    const digits = String(time).length;
    if (digits === this.#timeDigits) {
      this.#opening.putNumber(BEFORE_TIME.length, digits, time);
      return;
    }
    this.#timeDigits = digits;
    this.#opening = new LinePiece(
      `${BEFORE_TIME}${time}${this.#bindings},"msg":"request","front":"`,
    );
  }
}
