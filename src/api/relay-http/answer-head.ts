import {
  contentLengthOf,
  isStatus,
  TEXT_CHARACTERS,
  TOKEN_CHARACTERS,
} from "../../core/http1/rules.ts";
import { AnswerFault } from "./answer-fault.ts";

/** One line of a head. */
export interface AnswerField {
  /** As it was sent. */
  readonly name: string;
  /** Without the white space around it; a character is one byte. */
  readonly value: string;
}

/** The head of an answer that was read, and what it says of the body. */
export interface AnswerHead {
  readonly status: number;
  /** Every line, framing included, in the order in which they came. */
  readonly fields: readonly AnswerField[];
  /** -1 where it names none. */
  readonly contentLength: number;
  readonly isChunked: boolean;
  /** The connection ends with this answer. */
  readonly closes: boolean;
}

const STATUS_LINE = /^HTTP\/1\.1 (\d{3})(?: .*)?$/;
/** A field of RFC 9110, section 5.1: a token, a colon, white space that does not count. */
const FIELD = new RegExp(`^([${TOKEN_CHARACTERS}]+):[\\t ]*(.*)$`);
/** Anything but text between CR LF; white space in front of a line continues the one before. */
const MALFORMED = new RegExp(`[^\\r\\n${TEXT_CHARACTERS}]|\\r(?!\\n)|(?:^|[^\\r])\\n|\\r\\n[\\t ]`);

/** Heads that are remembered: a device mostly says the same again. Longer ones are not. */
const HEADS_MAX = 256;
const REMEMBERED_CHARACTERS_MAX = 2_048;

/** Reads heads, and knows those that it has read before: they cost a Map look-up, and give the same object. */
export class AnswerHeads {
  readonly #known = new Map<string, AnswerHead>();
  /** The one that was read last: to compare costs less than to look up. */
  #last: { readonly text: string; readonly head: AnswerHead } | null = null;

  get size(): number {
    return this.#known.size;
  }

  /** {@link readAnswerHead} of the first `end` characters. */
  read(text: string, end = text.length): AnswerHead {
    const last = this.#last;
    if (last !== null && last.text.length === end && text.startsWith(last.text)) return last.head;
    const own = text.slice(0, end);
    const head = this.#known.get(own) ?? this.#readNew(own);
    if (end <= REMEMBERED_CHARACTERS_MAX) this.#last = { text: own, head };
    return head;
  }

  #readNew(text: string): AnswerHead {
    const head = readAnswerHead(text);
    if (text.length > REMEMBERED_CHARACTERS_MAX) return head;
    if (this.#known.size >= HEADS_MAX) this.#known.clear();
    this.#known.set(text, head);
    return head;
  }
}

/**
 * Reads a head strictly: what could be read in two ways is refused, although the relay is ours, since all that follows on
 * the connection rests on where an answer ends.
 *
 * @param text from the status line to the last CR LF before the empty line, which is left out
 * @throws AnswerFault
 * @see RFC 9112, sections 4, 5 and 6
 */
export function readAnswerHead(text: string): AnswerHead {
  if (MALFORMED.test(text)) throw new AnswerFault("a head that is no text");
  const [statusLine = "", ...lines] = text.split("\r\n");
  const status = Number(STATUS_LINE.exec(statusLine)?.[1] ?? 0);
  if (!isStatus(status)) throw new AnswerFault("no status line");
  const fields: AnswerField[] = [];
  let contentLength = -1;
  let isChunked = false;
  let closes = false;
  for (const line of lines) {
    const [, name, untrimmed] = FIELD.exec(line) ?? [];
    if (name === undefined || untrimmed === undefined) throw new AnswerFault("no field");
    const value = untrimmed.replace(/[\t ]+$/, "");
    fields.push({ name, value });
    switch (framingOf(name)) {
      case "content-length":
        if (contentLength >= 0) throw new AnswerFault("two lengths");
        contentLength = contentLengthOf(value);
        if (contentLength < 0) throw new AnswerFault("a malformed length");
        break;
      case "transfer-encoding":
        if (isChunked || value.toLowerCase() !== "chunked") throw new AnswerFault("its coding");
        isChunked = true;
        break;
      case "connection":
        closes ||= /(?:^|,)[\t ]*close[\t ]*(?:,|$)/i.test(value);
        break;
    }
  }
  if (isChunked && contentLength >= 0) throw new AnswerFault("a length and a coding");
  return { status, fields, contentLength, isChunked, closes };
}

/** The name in lower case where it is one of the three that say where an answer ends; "" for all others. */
function framingOf(name: string): string {
  const { length } = name;
  return length === 10 || length === 14 || length === 17 ? name.toLowerCase() : "";
}
