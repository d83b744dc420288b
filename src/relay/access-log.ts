/** Where finished lines go: pino's destination, or whatever else takes text. */
export interface LineSink {
  write(lines: string): unknown;
}

/** The two HTTP fronts by number. */
export const FRONT_NAMES = ["edge", "internal"] as const;

/** Text gathered before it is handed on without waiting for the interval. */
const PENDING_CHARS_MAX = 16_384;

/** What a JSON string cannot hold as it is; DEL and beyond are escaped too, so that a line stays ASCII. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const NEEDS_ESCAPE = /["\\\x00-\x1f\x7f-\uffff]/;

/** `text` as the inside of a JSON string. */
function jsonInside(text: string): string {
  if (!NEEDS_ESCAPE.test(text)) return text;
  return JSON.stringify(text)
    .slice(1, -1)
    .replace(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/**
 * One JSON line for each request, in pino's shape, built by hand: no object, no serializer.
 *
 * Lines are gathered and handed to the destination in blocks, by `flush()` (the relay's interval and its close) or
 * when 16 KiB are waiting. No field holds a secret: keys, tokens and devices appear by their public ids only, and
 * the request target not at all.
 */
export class AccessLog {
  /** Set from outside when the log level changes; off costs one branch. */
  enabled: boolean;
  readonly #sink: LineSink;
  readonly #bindings: string;
  #pending = "";

  /**
   * @param bindings pino's prepared bindings, `,"pid":1,"hostname":"x"`, or "" for none
   */
  constructor(sink: LineSink, enabled = true, bindings = "") {
    this.#sink = sink;
    this.enabled = enabled;
    this.#bindings = bindings;
  }

  /**
   * Writes one line. Allocates the line alone.
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
    // Times are whole microseconds: an integer is written several times faster than a fraction.
    let line = `{"level":30,"time":${Date.now()}${this.#bindings},"msg":"request","front":"${FRONT_NAMES[front]}","request_id":"${jsonInside(requestId)}","device":"${deviceId}","key":"${keyId}","method":"${jsonInside(method)}","status":${status},`;
    if (stage !== null) line += `"stage":"${stage}",`;
    line += `"bytes_in":${bytesIn},"bytes_out":${bytesOut},`;
    if (firstByteMs >= 0) line += `"first_byte_us":${Math.round(firstByteMs * 1_000)},`;
    this.#pending += `${line}"total_us":${Math.round(totalMs * 1_000)}}\n`;
    if (this.#pending.length >= PENDING_CHARS_MAX) this.flush();
  }

  /** Hands what is gathered to the destination. */
  flush(): void {
    if (this.#pending === "") return;
    const lines = this.#pending;
    this.#pending = "";
    this.#sink.write(lines);
  }
}
