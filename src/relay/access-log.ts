import { type AsciiLines, LinePiece } from "../core/ascii-lines.ts";

/** The two HTTP fronts by number. */
export const FRONT_NAMES = ["edge", "internal"] as const;

const BEFORE_TIME = '{"level":30,"time":';
const EDGE = new LinePiece(`${FRONT_NAMES[0]}","request_id":"`);
const INTERNAL = new LinePiece(`${FRONT_NAMES[1]}","request_id":"`);
const KEY = new LinePiece('","key":"');
const DEVICE = new LinePiece('","device":"');
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

/** So many lines in a row with the same middle are worth a piece: it costs as much as some ten lines save. */
const REPEATS_MIN = 8;
/** Texts that stand in a line as they are. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/**
 * The middle of the last line, from the device to the bytes received. Requests to one device follow each other with all of it
 * the same, whoever calls; after `REPEATS_MIN` of them it is made into one piece.
 */
class RepeatedMiddle {
  piece = new LinePiece("");
  #deviceId = "";
  #method = "";
  #status = -1;
  #bytesIn = 0;
  /** Lines in a row that had it, as far as they are counted. */
  #repeats = 0;
  #isMade = false;

  /** Whether `piece` is the middle of such a line. */
  isOf(deviceId: string, method: string, status: number, bytesIn: number): boolean {
    return this.#isMade && this.#isSame(deviceId, method, status, bytesIn);
  }

  /** A line was written with this middle. */
  note(deviceId: string, method: string, status: number, bytesIn: number): void {
    if (!this.#isSame(deviceId, method, status, bytesIn)) {
      this.#repeats = 1;
      this.#isMade = false;
      this.#deviceId = deviceId;
      this.#method = method;
      this.#status = status;
      this.#bytesIn = bytesIn;
      return;
    }
    this.#repeats += 1;
    if (this.#repeats !== REPEATS_MIN || !PLAIN.test(deviceId + method)) return;
    this.#isMade = true;
    this.piece = new LinePiece(
      `","device":"${deviceId}","method":"${method}","status":${status},"bytes_in":${bytesIn}` +
        ',"bytes_out":',
    );
  }

  #isSame(deviceId: string, method: string, status: number, bytesIn: number): boolean {
    return (
      status === this.#status &&
      bytesIn === this.#bytesIn &&
      deviceId === this.#deviceId &&
      method === this.#method
    );
  }
}

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
  /** The line up to the front's name, for the millisecond `#time`, which has `#timeDigits`: many lines share one. */
  #opening = new LinePiece("");
  #time = -1;
  #timeDigits = 0;
  readonly #middle = new RepeatedMiddle();

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
    lines.piece(KEY);
    lines.text(keyId);
    const known = this.#middle;
    if (stage === null && known.isOf(deviceId, method, status, bytesIn)) {
      lines.piece(known.piece);
    } else {
      this.#writeMiddle(deviceId, method, status, stage, bytesIn);
      lines.piece(BYTES_OUT);
    }
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

  /** What stands between the key and `bytes_out`. */
  #writeMiddle(
    deviceId: string,
    method: string,
    status: number,
    stage: string | null,
    bytesIn: number,
  ): void {
    const lines = this.#lines;
    lines.piece(DEVICE);
    lines.text(deviceId);
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
      this.#middle.note(deviceId, method, status, bytesIn);
    }
    lines.number(bytesIn);
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
