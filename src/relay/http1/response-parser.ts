import type { ProtocolError } from "../../core/errors.ts";
import { BYTE_CLASS, byteAt, CR, LF, TEXT } from "../../core/http1/bytes.ts";
import { ChunkedBody, type ChunkLimits } from "../../core/http1/chunked-body.ts";
import { BodyKind, bodyKindOf } from "../../core/http1/rules.ts";
import { type ResponseErrorCode, responseError } from "./errors.ts";
import { HeadMemory } from "./head-memory.ts";
import { BAD, type HeadArena, ResponseHead } from "./response-head.ts";

/**
 * What the parser tells. `reset` must not be called from these, save as the last thing done in `responseOnEnd`.
 * A call may give up the exchange by not feeding the parser again; calls that still come are then ignored by the sink.
 */
export interface ResponseSink {
  /** The head is complete: status, length and head text can be read from the parser. */
  responseOnHead(): void;
  /** Body bytes chunk[start, end), never empty. BORROWED until the call returns. */
  responseOnBody(chunk: Uint8Array, start: number, end: number): void;
  /** The message is complete. */
  responseOnEnd(): void;
}

/** Interim (1xx) responses before the final one; all are read and dropped. */
export const INTERIM_MAX = 32;

/** A device may send extensions and trailers; the limits keep it from sending nothing else. */
const CHUNK_LIMITS: ChunkLimits = {
  sizeDigitsMax: 16,
  extensionBytesMax: 4_096,
  trailerBytesMax: 16_384,
};

const Phase = { HEAD: 0, BODY: 1, DONE: 2, FAILED: 3 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

const NO_BYTES = new Uint8Array(0);

/**
 * Strict incremental parser of one response at a time; `reset` makes it ready for the next. A head that lies whole
 * in one chunk is read in place and costs no allocation; one that straddles chunks is collected first.
 *
 * @see docs/http-conformance.md for the rules and their tests
 */
export class ResponseParser {
  /** The rule that the device broke, null for none. Set once; nothing is parsed after it. */
  error: ProtocolError | null = null;
  bodyKind: BodyKind = BodyKind.NONE;
  /** The stream may serve another exchange after this one. */
  keepAlive = false;
  /** From `Keep-Alive: timeout=N`, 0 where it was not said. */
  keepAliveTimeoutMs = 0;
  /** Body bytes delivered so far. */
  bodyBytes = 0;
  /** At least one byte of this response was seen: the request must not be sent again. */
  received = false;
  private readonly head: ResponseHead;
  private readonly chunked = new ChunkedBody(CHUNK_LIMITS);
  private readonly headBytesMax: number;
  private phase: Phase = Phase.HEAD;
  private isHead = false;
  private interim = 0;
  /** Bytes of a head that straddles chunks, [0, collected); empty otherwise. */
  private collecting: Uint8Array = NO_BYTES;
  private collected = 0;

  /** @param memory of heads; may be shared with other parsers */
  constructor(headBytesMax: number, memory: HeadMemory = new HeadMemory()) {
    this.headBytesMax = headBytesMax;
    this.head = new ResponseHead(memory);
  }

  /** Status of the final response, or of the last interim one before it; 0 before any. */
  get status(): number {
    return this.head.status;
  }

  /** The head's text for one `writeStatus` call. Borrowed until the next `execute`, and no longer than the arena's turn. */
  headText(arena: HeadArena): Uint8Array {
    return this.head.text(arena);
  }

  /** The length to report for the body: as declared, -1 where it was not. With HEAD and 304 too. */
  get contentLength(): number {
    return this.head.contentLength;
  }

  /** Forgets everything. `isHead`: the response is to a HEAD request, so its declared body does not follow. */
  reset(isHead: boolean): void {
    this.error = null;
    this.bodyKind = BodyKind.NONE;
    this.keepAlive = false;
    this.keepAliveTimeoutMs = 0;
    this.bodyBytes = 0;
    this.received = false;
    this.phase = Phase.HEAD;
    this.isHead = isHead;
    this.interim = 0;
    this.collecting = NO_BYTES;
    this.collected = 0;
    this.head.status = 0;
    this.head.contentLength = -1;
  }

  /**
   * Reads chunk[start, end), which is borrowed until the call returns.
   *
   * @returns the offset behind the last byte used: `end`, unless bytes follow the message or `error` is set
   */
  execute(
    chunk: Uint8Array,
    start: number,
    end: number,
    arena: HeadArena,
    sink: ResponseSink,
  ): number {
    let at = start;
    if (start < end) this.received = true;
    while (this.inHead && at < end) {
      at =
        this.collected === 0
          ? this.readHead(chunk, at, end, arena)
          : this.collect(chunk, at, end, arena);
      if (this.inBody) {
        sink.responseOnHead();
        const isEmpty = this.bodyKind === BodyKind.LENGTH && this.contentLength === 0;
        if (isEmpty || this.bodyKind === BodyKind.NONE) return this.complete(at, sink);
      }
    }
    return this.inBody && at < end ? this.body(chunk, at, end, sink) : at;
  }

  /**
   * The stream ended. Completes a body that goes on until then; sets `error` if the response is cut off.
   *
   * @returns true when the message is complete
   */
  finish(sink: ResponseSink): boolean {
    if (this.phase === Phase.DONE) return true;
    if (this.phase === Phase.FAILED) return false;
    if (this.phase === Phase.BODY && this.bodyKind === BodyKind.UNTIL_CLOSE) {
      this.complete(0, sink);
      return true;
    }
    this.fail(this.brokenRule() ?? "ERR_HTTP_RESPONSE_TRUNCATED");
    return false;
  }

  /** The rule that an unfinished head has broken already, null for none. */
  private brokenRule(): ResponseErrorCode | null {
    if (this.collected === 0) return null;
    const discarded = { bytes: new Uint8Array(this.collected), used: 0, reserve: () => {} };
    const next = this.head.parse(this.collecting, 0, this.collected, discarded);
    return next === BAD ? this.head.problem : null;
  }

  private get inHead(): boolean {
    return this.phase === Phase.HEAD;
  }

  private get inBody(): boolean {
    return this.phase === Phase.BODY;
  }

  private fail(code: ResponseErrorCode): void {
    this.error = responseError(code);
    this.phase = Phase.FAILED;
    this.keepAlive = false;
    this.collecting = NO_BYTES;
    this.collected = 0;
  }

  /** Says that the message ends here. The last thing done, because the sink may reset the parser. */
  private complete(at: number, sink: ResponseSink): number {
    this.phase = Phase.DONE;
    sink.responseOnEnd();
    return at;
  }

  /** Reads a head in place, or starts to collect one that is not whole. */
  private readHead(chunk: Uint8Array, start: number, end: number, arena: HeadArena): number {
    const limit = Math.min(end, start + this.headBytesMax);
    const next = this.head.parse(chunk, start, limit, arena);
    if (next >= 0) {
      this.headDone(arena);
      return next;
    }
    if (next === BAD) this.fail(this.head.problem ?? "ERR_HTTP_RESPONSE_STATUS_LINE");
    else if (limit - start >= this.headBytesMax) this.fail("ERR_HTTP_RESPONSE_HEAD_TOO_LARGE");
    else {
      this.keep(chunk, start, end);
      return end;
    }
    return start;
  }

  /** Copies bytes of an unfinished head. */
  private keep(chunk: Uint8Array, start: number, end: number): void {
    const needed = this.collected + end - start;
    if (needed > this.collecting.length) {
      const grown = new Uint8Array(Math.min(this.headBytesMax, Math.max(1_024, needed * 2)));
      grown.set(this.collecting.subarray(0, this.collected));
      this.collecting = grown;
    }
    this.collecting.set(chunk.subarray(start, end), this.collected);
    this.collected = needed;
  }

  /**
   * Adds bytes to an unfinished head, as far as the head can go on in them. The whole is parsed anew only where the
   * head ends, after its first line, and at a byte that no head may have: so a head that comes byte by byte costs
   * time in proportion to its length, and a wrong one is noticed at once.
   */
  private collect(chunk: Uint8Array, start: number, end: number, arena: HeadArena): number {
    const before = this.collected;
    const limit = Math.min(end, start + this.headBytesMax - before);
    this.keep(chunk, start, limit);
    const stop = this.worthParsing(before);
    if (stop >= 0) {
      const next = this.head.parse(this.collecting, 0, stop, arena);
      if (next >= 0) {
        this.headDone(arena);
        return start + next - before;
      }
      if (next === BAD) {
        this.fail(this.head.problem ?? "ERR_HTTP_RESPONSE_STATUS_LINE");
        return start;
      }
    }
    if (this.collected < this.headBytesMax) return limit;
    this.fail("ERR_HTTP_RESPONSE_HEAD_TOO_LARGE");
    return start;
  }

  /** How far the collected bytes should be parsed now, given that [0, from) was looked at; -1 for not yet. */
  private worthParsing(from: number): number {
    const bytes = this.collecting;
    for (let at = from; at < this.collected; at++) {
      const byte = byteAt(bytes, at);
      if ((byteAt(BYTE_CLASS, byte) & TEXT) !== 0) {
        if (at === 0 || byteAt(bytes, at - 1) !== CR) continue;
        return this.collected;
      }
      if (byte === CR && (at === 0 || byteAt(bytes, at - 1) !== CR)) continue;
      if (byte !== LF || at === 0 || byteAt(bytes, at - 1) !== CR) return this.collected;
      const isFirstLine = bytes.indexOf(LF) === at;
      const isEmptyLine = at >= 3 && byteAt(bytes, at - 2) === LF;
      if (isFirstLine || isEmptyLine) return this.collected;
    }
    return -1;
  }

  /** Decides on the body, RFC 9112 section 6.3, or drops an interim response. */
  private headDone(arena: HeadArena): void {
    this.collecting = NO_BYTES;
    this.collected = 0;
    const { head } = this;
    const { status } = head;
    if (status < 200) {
      arena.used = head.start;
      if (status === 101) this.fail("ERR_HTTP_RESPONSE_UPGRADE");
      else if (++this.interim > INTERIM_MAX) this.fail("ERR_HTTP_RESPONSE_INTERIM");
      return;
    }
    this.phase = Phase.BODY;
    this.keepAlive = head.minor === 1 ? !head.saysClose : head.saysKeepAlive && !head.saysClose;
    this.keepAliveTimeoutMs = Math.max(0, head.keepAliveTimeoutMs);
    if (head.keepAliveTimeoutMs === 0) this.keepAlive = false;
    this.bodyKind = bodyKindOf(status, this.isHead, head.chunked, head.contentLength);
    if (this.bodyKind === BodyKind.CHUNKED) this.chunked.reset();
    else if (this.bodyKind === BodyKind.UNTIL_CLOSE) this.keepAlive = false;
    else if (status === 204 && !this.isHead) {
      // A device that frames a body here may send one, too: its stream is not used again.
      if (head.chunked || head.contentLength > 0) this.keepAlive = false;
      head.contentLength = -1;
    }
  }

  private body(chunk: Uint8Array, start: number, end: number, sink: ResponseSink): number {
    if (this.bodyKind === BodyKind.CHUNKED) return this.chunkedBody(chunk, start, end, sink);
    let stop = end;
    if (this.bodyKind === BodyKind.LENGTH) {
      stop = Math.min(end, start + this.contentLength - this.bodyBytes);
    }
    this.bodyBytes += stop - start;
    const isLast = this.bodyKind === BodyKind.LENGTH && this.bodyBytes === this.contentLength;
    sink.responseOnBody(chunk, start, stop);
    return isLast ? this.complete(stop, sink) : stop;
  }

  private chunkedBody(chunk: Uint8Array, start: number, end: number, sink: ResponseSink): number {
    const { chunked } = this;
    let at = start;
    while (at < end) {
      at = chunked.next(chunk, at, end);
      if (chunked.dataEnd > at) {
        const dataEnd = chunked.dataEnd;
        this.bodyBytes += dataEnd - at;
        sink.responseOnBody(chunk, at, dataEnd);
        at = dataEnd;
      } else if (chunked.done) {
        return this.complete(at, sink);
      } else if (chunked.problem !== null) {
        this.fail(`ERR_HTTP_RESPONSE_${chunked.problem}`);
        return at;
      }
    }
    return at;
  }
}
