import {
  ascii,
  BYTE_CLASS,
  byteAt,
  COLON,
  COMMA,
  CR,
  isName,
  LF,
  SEMICOLON,
  SP,
  TAB,
  TOKEN,
  textEnd,
} from "../../core/http1/bytes.ts";
import { isStatus, LENGTH_DIGITS_MAX } from "../../core/http1/rules.ts";
import type { ResponseErrorCode } from "./errors.ts";
import { HeadFacts, type HeadMemory, RememberedHead } from "./head-memory.ts";

/** Where finished heads are written: one buffer per loop turn, owned by the forwarder. */
export interface HeadArena {
  bytes: Uint8Array;
  /** Bytes in use; new ones are written from here. */
  used: number;
  /** Makes room for `n` more bytes; may replace `bytes`, keeping what is in use. */
  reserve(n: number): void;
}

/** `ResponseHead.parse`: the head goes on behind the given bytes. */
export const MORE = -1;
/** `ResponseHead.parse`: a rule is broken; `problem` says which. */
export const BAD = -2;

const VERSION_PREFIX = ascii("HTTP/1.");
const SPACE = ascii(" ");
const VIA = ascii("\r\nvia: 1.1 hawser");

const TE = ascii("te");
const DATE = ascii("date");
const TRAILER = ascii("trailer");
const UPGRADE = ascii("upgrade");
const CONNECTION = ascii("connection");
const KEEP_ALIVE = ascii("keep-alive");
const CONTENT_LENGTH = ascii("content-length");
const PROXY_CONNECTION = ascii("proxy-connection");
const TRANSFER_ENCODING = ascii("transfer-encoding");
const PROXY_AUTHENTICATE = ascii("proxy-authenticate");
const PROXY_AUTHENTICATION_INFO = ascii("proxy-authentication-info");
const CLOSE = ascii("close");
const CHUNKED = ascii("chunked");
const TIMEOUT = ascii("timeout");

/** Options of `Connection` that name no field to be taken out. */
const KNOWN_OPTIONS = ["close", "keep-alive", "upgrade"];
/** A day: a longer keep-alive time is as good as this one. */
const KEEP_ALIVE_SECONDS_MAX = 86_400;

/** What becomes of a field: passed on, or taken out. */
const PASS = 0;
const DROP = 1;
const REFUSE = 2;

/**
 * Reads one response head and writes what of it is passed on: the status without the version and the fields that are
 * not hop-by-hop, as runs of the bytes received. Allocates nothing unless `Connection` names further fields.
 *
 * @see RFC 9112 sections 4, 5 and 6
 */
export class ResponseHead extends HeadFacts {
  /** Why the last `parse` gave `BAD`. */
  problem: ResponseErrorCode | null = null;
  /** Where the arena was before the head. */
  start = 0;
  /** In `arena.bytes` from `start` on: what is passed on, unless it is `recalled`. */
  private end = 0;
  /** The remembered head that this one is, of which nothing was written to the arena. */
  private recalled: RememberedHead | null = null;
  /** `Connection` names a field to be taken out. */
  private nominates = false;
  /** Start of the bytes that are passed on and not yet written. */
  private runStart = 0;
  private readonly memory: HeadMemory;

  /** @param memory may be shared with others */
  constructor(memory: HeadMemory) {
    super();
    this.memory = memory;
  }

  /**
   * @param bytes borrowed; the head starts at `from` and lies before `limit`
   * @returns the offset behind the head, `MORE` or `BAD`. After `MORE` and `BAD` the arena is as it was.
   */
  parse(bytes: Uint8Array, from: number, limit: number, arena: HeadArena): number {
    const { memory } = this;
    const recalled = memory.find(bytes, from, limit);
    this.recalled = recalled;
    if (recalled !== null) {
      this.problem = null;
      this.copyFacts(recalled.facts);
      this.start = arena.used;
      return from + recalled.length;
    }
    const next = this.read(bytes, from, limit, arena);
    if (next >= 0 && memory.wants(next - from)) {
      const written = arena.bytes.subarray(this.start, this.end);
      memory.note(new RememberedHead(this, bytes.subarray(from, next), written));
    }
    return next;
  }

  /** What is passed on, without a last CR LF. Borrowed until the next head is parsed or the arena is emptied. */
  text(arena: HeadArena): Uint8Array {
    const { recalled } = this;
    return recalled === null ? arena.bytes.subarray(this.start, this.end) : recalled.written;
  }

  private read(bytes: Uint8Array, from: number, limit: number, arena: HeadArena): number {
    this.problem = null;
    this.contentLength = -1;
    this.chunked = false;
    this.saysClose = false;
    this.saysKeepAlive = false;
    this.keepAliveTimeoutMs = -1;
    this.nominates = false;
    this.start = arena.used;
    let next = this.statusLine(bytes, from, limit, arena);
    if (next >= 0) next = this.fields(bytes, next, limit, arena);
    if (next < 0) {
      arena.used = this.start;
      return next;
    }
    if (this.nominates) this.removeNominated(bytes, from, next, arena);
    append(arena, VIA, 0, VIA.length);
    this.end = arena.used;
    return next;
  }

  private bad(problem: ResponseErrorCode): number {
    this.problem = problem;
    return BAD;
  }

  /** `HTTP/1.1 200 OK`; gives the offset behind its CR LF. */
  private statusLine(bytes: Uint8Array, from: number, limit: number, arena: HeadArena): number {
    for (let i = 0; i < 7; i++) {
      if (from + i >= limit) return MORE;
      if (byteAt(bytes, from + i) !== byteAt(VERSION_PREFIX, i)) {
        // Another major version is said to be one; all else is no status line.
        return this.bad(i < 5 ? "ERR_HTTP_RESPONSE_STATUS_LINE" : "ERR_HTTP_RESPONSE_VERSION");
      }
    }
    if (from + 7 >= limit) return MORE;
    this.minor = byteAt(bytes, from + 7) - 0x30;
    if (this.minor !== 0 && this.minor !== 1) return this.bad("ERR_HTTP_RESPONSE_VERSION");
    if (from + 8 >= limit) return MORE;
    if (byteAt(bytes, from + 8) !== SP) return this.bad("ERR_HTTP_RESPONSE_STATUS_LINE");
    let status = 0;
    let at = from + 9;
    for (; at < from + 12; at++) {
      if (at >= limit) return MORE;
      const digit = byteAt(bytes, at) - 0x30;
      if (digit < 0 || digit > 9) return this.bad("ERR_HTTP_RESPONSE_STATUS_LINE");
      status = status * 10 + digit;
    }
    if (!isStatus(status)) return this.bad("ERR_HTTP_RESPONSE_STATUS_LINE");
    if (at >= limit) return MORE;
    const byte = byteAt(bytes, at);
    if (byte !== SP && byte !== CR) {
      return this.bad(byte === LF ? "ERR_HTTP_RESPONSE_LINE_END" : "ERR_HTTP_RESPONSE_STATUS_LINE");
    }
    this.status = status;
    this.runStart = from + 9;
    if (byte === CR) {
      // A missing space before an empty reason is forgiven, since nothing else can follow, and put right.
      append(arena, bytes, from + 9, at);
      append(arena, SPACE, 0, 1);
      this.runStart = at;
    }
    return this.lineEnd(bytes, at, limit, "ERR_HTTP_RESPONSE_STATUS_LINE");
  }

  /** Checks text up to CR LF; gives the offset behind it. */
  private lineEnd(
    bytes: Uint8Array,
    from: number,
    limit: number,
    otherwise: ResponseErrorCode,
  ): number {
    const at = textEnd(bytes, from, limit);
    if (at >= limit) return MORE;
    const byte = byteAt(bytes, at);
    if (byte === CR) {
      if (at + 1 >= limit) return MORE;
      return byteAt(bytes, at + 1) === LF ? at + 2 : this.bad("ERR_HTTP_RESPONSE_LINE_END");
    }
    return this.bad(byte === LF ? "ERR_HTTP_RESPONSE_LINE_END" : otherwise);
  }

  /** The field lines and the empty line; writes the runs that are passed on. */
  private fields(bytes: Uint8Array, from: number, limit: number, arena: HeadArena): number {
    let lineStart = from;
    for (;;) {
      let at = lineStart;
      while (at < limit && (byteAt(BYTE_CLASS, byteAt(bytes, at)) & TOKEN) !== 0) at++;
      if (at >= limit) return MORE;
      const nameEnd = at;
      if (byteAt(bytes, at) !== COLON || nameEnd === lineStart) {
        const end = this.emptyLine(bytes, lineStart, nameEnd, limit);
        if (end >= 0) append(arena, bytes, this.runStart, lineStart - 2);
        return end;
      }
      const lineNext = this.lineEnd(bytes, nameEnd + 1, limit, "ERR_HTTP_RESPONSE_FIELD_VALUE");
      if (lineNext < 0) return lineNext;
      const verdict = this.field(bytes, lineStart, nameEnd, lineNext - 2);
      if (verdict === REFUSE) return BAD;
      if (verdict === DROP) {
        append(arena, bytes, this.runStart, lineStart - 2);
        this.runStart = lineNext - 2;
      }
      lineStart = lineNext;
    }
  }

  /** A line that is no field must be the empty one. */
  private emptyLine(bytes: Uint8Array, lineStart: number, nameEnd: number, limit: number): number {
    const byte = byteAt(bytes, nameEnd);
    if (nameEnd === lineStart) {
      if (byte === CR) {
        if (nameEnd + 1 >= limit) return MORE;
        if (byteAt(bytes, nameEnd + 1) === LF) return nameEnd + 2;
        return this.bad("ERR_HTTP_RESPONSE_LINE_END");
      }
      if (byte === SP || byte === TAB) return this.bad("ERR_HTTP_RESPONSE_FOLDED");
    }
    if (byte === LF) return this.bad("ERR_HTTP_RESPONSE_LINE_END");
    return this.bad("ERR_HTTP_RESPONSE_FIELD_NAME");
  }

  /** Looks at one field, [nameStart, nameEnd) and its value up to `end`. */
  private field(bytes: Uint8Array, nameStart: number, nameEnd: number, end: number): number {
    switch (nameEnd - nameStart) {
      case 2:
        return isName(bytes, nameStart, TE) ? DROP : PASS;
      case 4:
        return isName(bytes, nameStart, DATE) ? DROP : PASS;
      case 7:
        return isName(bytes, nameStart, TRAILER) || isName(bytes, nameStart, UPGRADE) ? DROP : PASS;
      case 10:
        if (isName(bytes, nameStart, CONNECTION)) return this.connection(bytes, nameEnd + 1, end);
        if (isName(bytes, nameStart, KEEP_ALIVE)) return this.keepAlive(bytes, nameEnd + 1, end);
        return PASS;
      case 14:
        if (!isName(bytes, nameStart, CONTENT_LENGTH)) return PASS;
        return this.length(bytes, nameEnd + 1, end);
      case 16:
        return isName(bytes, nameStart, PROXY_CONNECTION) ? DROP : PASS;
      case 17:
        if (!isName(bytes, nameStart, TRANSFER_ENCODING)) return PASS;
        return this.coding(bytes, nameEnd + 1, end);
      case 18:
        return isName(bytes, nameStart, PROXY_AUTHENTICATE) ? DROP : PASS;
      case 25:
        return isName(bytes, nameStart, PROXY_AUTHENTICATION_INFO) ? DROP : PASS;
      default:
        return PASS;
    }
  }

  private refuse(problem: ResponseErrorCode): number {
    this.problem = problem;
    return REFUSE;
  }

  private length(bytes: Uint8Array, from: number, to: number): number {
    const start = skipSpace(bytes, from, to);
    const end = trimSpace(bytes, start, to);
    if (this.contentLength >= 0 || start === end || end - start > LENGTH_DIGITS_MAX) {
      return this.refuse("ERR_HTTP_RESPONSE_CONTENT_LENGTH");
    }
    if (this.chunked) return this.refuse("ERR_HTTP_RESPONSE_LENGTH_AND_CODING");
    let length = 0;
    for (let at = start; at < end; at++) {
      const digit = byteAt(bytes, at) - 0x30;
      if (digit < 0 || digit > 9) return this.refuse("ERR_HTTP_RESPONSE_CONTENT_LENGTH");
      length = length * 10 + digit;
    }
    this.contentLength = length;
    return DROP;
  }

  private coding(bytes: Uint8Array, from: number, to: number): number {
    if (this.minor === 0) return this.refuse("ERR_HTTP_RESPONSE_CODING_IN_1_0");
    const start = skipSpace(bytes, from, to);
    const end = trimSpace(bytes, start, to);
    if (this.chunked || !isWord(bytes, start, end, CHUNKED)) {
      return this.refuse("ERR_HTTP_RESPONSE_TRANSFER_ENCODING");
    }
    if (this.contentLength >= 0) return this.refuse("ERR_HTTP_RESPONSE_LENGTH_AND_CODING");
    this.chunked = true;
    return DROP;
  }

  /** Options of the connection; any but the well-known ones names a field. */
  private connection(bytes: Uint8Array, from: number, to: number): number {
    let at = from;
    while (at < to) {
      let next = at;
      while (next < to && byteAt(bytes, next) !== COMMA) next++;
      const start = skipSpace(bytes, at, next);
      const end = trimSpace(bytes, start, next);
      if (isWord(bytes, start, end, CLOSE)) this.saysClose = true;
      else if (isWord(bytes, start, end, KEEP_ALIVE)) this.saysKeepAlive = true;
      else if (end > start && !isWord(bytes, start, end, UPGRADE)) this.nominates = true;
      at = next + 1;
    }
    return DROP;
  }

  /** `timeout=5, max=100`; only the first is of use. */
  private keepAlive(bytes: Uint8Array, from: number, to: number): number {
    let at = from;
    while (at < to) {
      let next = at;
      while (next < to && byteAt(bytes, next) !== COMMA && byteAt(bytes, next) !== SEMICOLON)
        next++;
      const start = skipSpace(bytes, at, next);
      const value = start + TIMEOUT.length + 1;
      if (value < next && isName(bytes, start, TIMEOUT) && byteAt(bytes, value - 1) === 0x3d) {
        const seconds = leadingNumber(bytes, value, next);
        if (seconds >= 0) this.keepAliveTimeoutMs = seconds * 1_000;
      }
      at = next + 1;
    }
    return DROP;
  }

  /** The rare case: writes the head anew, without the fields that `Connection` names. */
  private removeNominated(bytes: Uint8Array, from: number, to: number, arena: HeadArena): void {
    const nominated = new Set<string>();
    for (const line of latin1(bytes, from, to).split("\r\n")) {
      const colon = line.indexOf(":");
      if (line.slice(0, colon).toLowerCase() !== "connection") continue;
      for (const option of line.slice(colon + 1).split(",")) nominated.add(fieldName(option));
    }
    for (const option of KNOWN_OPTIONS) nominated.delete(option);
    const [status = "", ...fields] = latin1(arena.bytes, this.start, arena.used).split("\r\n");
    const kept = fields.filter(
      (line) => !nominated.has(fieldName(line.slice(0, line.indexOf(":")))),
    );
    const head = Buffer.from([status, ...kept].join("\r\n"), "latin1");
    arena.used = this.start;
    append(arena, head, 0, head.length);
  }
}

function fieldName(text: string): string {
  return text.trim().toLowerCase();
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString("latin1");
}

/** From this length on a view and a native copy cost less than the loop. */
const LOOP_COPY_MAX = 48;

function append(arena: HeadArena, source: Uint8Array, start: number, end: number): void {
  const length = end - start;
  if (arena.bytes.length - arena.used < length) arena.reserve(length);
  const target = arena.bytes;
  const used = arena.used;
  if (length > LOOP_COPY_MAX) target.set(source.subarray(start, end), used);
  else for (let i = 0; i < length; i++) target[used + i] = byteAt(source, start + i);
  arena.used = used + length;
}

function isSpace(byte: number): boolean {
  return byte === SP || byte === TAB;
}

function skipSpace(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && isSpace(byteAt(bytes, at))) at++;
  return at;
}

function trimSpace(bytes: Uint8Array, from: number, to: number): number {
  let at = to;
  while (at > from && isSpace(byteAt(bytes, at - 1))) at--;
  return at;
}

/** True when [start, end) is `word`, whatever its case. Not only token bytes come here, hence the class check. */
function isWord(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  if (end - start !== word.length) return false;
  for (let at = start; at < end; at++) {
    if ((byteAt(BYTE_CLASS, byteAt(bytes, at)) & TOKEN) === 0) return false;
  }
  return isName(bytes, start, word);
}

/** The decimal number that [from, to) starts with, bounded; -1 where there is none. */
function leadingNumber(bytes: Uint8Array, from: number, to: number): number {
  let number = -1;
  for (let at = from; at < to; at++) {
    const digit = byteAt(bytes, at) - 0x30;
    if (digit < 0 || digit > 9) break;
    number = Math.min(Math.max(number, 0) * 10 + digit, KEEP_ALIVE_SECONDS_MAX);
  }
  return number;
}
