import { AsciiLines, type LineSink } from "./ascii-lines.ts";

/** The two HTTP fronts by number. */
export const FRONT_NAMES = ["edge", "internal"] as const;

const FRONTS = FRONT_NAMES.map((name) => Buffer.from(`${name}","request_id":"`, "latin1"));
const DEVICE = Buffer.from('","device":"', "latin1");
const KEY = Buffer.from('","key":"', "latin1");
const METHOD = Buffer.from('","method":"', "latin1");
const STATUS = Buffer.from('","status":', "latin1");
const STAGE = Buffer.from(',"stage":"', "latin1");
const BYTES_IN = Buffer.from(',"bytes_in":', "latin1");
const BYTES_IN_AFTER_STAGE = Buffer.from('","bytes_in":', "latin1");
const BYTES_OUT = Buffer.from(',"bytes_out":', "latin1");
const FIRST_BYTE = Buffer.from(',"first_byte_us":', "latin1");
const TOTAL = Buffer.from(',"total_us":', "latin1");
const END = Buffer.from("}\n", "latin1");

/** More than a line takes beside its bindings and the texts that vary: names, punctuation and six numbers. */
const FIXED_BYTES = 512;

/**
 * One JSON line for each request, in pino's shape, written byte by byte: no object, no serializer, no string.
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
  /** The line up to the front's name, for the millisecond `#time`: many lines share one. */
  #opening: Uint8Array = new Uint8Array(0);
  #time = -1;

  /**
   * @param bindings pino's prepared bindings, `,"pid":1,"hostname":"x"`, or "" for none
   */
  constructor(sink: LineSink, enabled = true, bindings = "") {
    this.#lines = new AsciiLines(sink);
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
    const time = Date.now();
    if (time !== this.#time) this.#open(time);
    const lines = this.#lines;
    const varying = requestId.length + deviceId.length + keyId.length + method.length;
    lines.reserve(this.#opening.length + FIXED_BYTES, varying);
    lines.bytes(this.#opening);
    lines.bytes(front === 0 ? (FRONTS[0] as Uint8Array) : (FRONTS[1] as Uint8Array));
    lines.text(requestId);
    lines.bytes(DEVICE);
    lines.text(deviceId);
    lines.bytes(KEY);
    lines.text(keyId);
    lines.bytes(METHOD);
    lines.text(method);
    lines.bytes(STATUS);
    lines.number(status);
    if (stage !== null) {
      lines.bytes(STAGE);
      lines.text(stage);
      lines.bytes(BYTES_IN_AFTER_STAGE);
    } else {
      lines.bytes(BYTES_IN);
    }
    lines.number(bytesIn);
    lines.bytes(BYTES_OUT);
    lines.number(bytesOut);
    // Times are whole microseconds.
    if (firstByteMs >= 0) {
      lines.bytes(FIRST_BYTE);
      lines.number(Math.round(firstByteMs * 1_000));
    }
    lines.bytes(TOTAL);
    lines.number(Math.round(totalMs * 1_000));
    lines.bytes(END);
  }

  /** Hands what is gathered to the destination. */
  flush(): void {
    this.#lines.flush();
  }

  #open(time: number): void {
    this.#time = time;
    const opening = `{"level":30,"time":${time}${this.#bindings},"msg":"request","front":"`;
    this.#opening = Buffer.from(opening, "utf8");
  }
}
