import { BodyKind } from "../../../src/core/http1/rules.ts";
import { type HeadArena, ResponseParser } from "../../../src/relay/http1/index.ts";

/** What a parser made of a response. */
export interface Outcome {
  /** Code of the broken rule, null for none. */
  readonly error: string | null;
  readonly status: number;
  /** What is passed on as status and fields, null where no head was told. */
  readonly head: string | null;
  readonly body: string;
  readonly ended: boolean;
  readonly contentLength: number;
  readonly bodyKind: number;
  readonly keepAlive: boolean;
  readonly keepAliveTimeoutMs: number;
  /** Offset behind the message where it ended, -1 where it did not. */
  readonly endedAt: number;
}

export interface FeedOptions {
  readonly isHead?: boolean;
  readonly headBytesMax?: number;
  /** The stream ends behind the last byte. */
  readonly fin?: boolean;
  /** One that may have read other responses before; default: a new one. */
  readonly parser?: ResponseParser;
}

/** An arena that starts too small, so that `reserve` is called for. */
export class GrowingArena implements HeadArena {
  bytes = new Uint8Array(8);
  used = 0;

  reserve(n: number): void {
    const grown = new Uint8Array((this.used + n) * 2);
    grown.set(this.bytes.subarray(0, this.used));
    this.bytes = grown;
  }
}

/**
 * Feeds a response in pieces that end at the given offsets. Every piece is memory of its own that is detached when
 * the call returns, as it is with uWebSockets.js.
 */
export function feed(text: string, cuts: readonly number[], options: FeedOptions = {}): Outcome {
  const all = Buffer.from(text, "latin1");
  const parser = options.parser ?? new ResponseParser(options.headBytesMax ?? 32_768);
  const arena = new GrowingArena();
  arena.used = 3;
  let head: string | null = null;
  let body = "";
  let ended = false;
  let endedAt = -1;
  const sink = {
    responseOnHead: () => {
      if (head !== null || body !== "" || ended) throw new Error("the head came twice or late");
      head = Buffer.from(parser.headText(arena)).toString("latin1");
    },
    responseOnBody: (chunk: Uint8Array, start: number, end: number) => {
      if (head === null || ended || start >= end) throw new Error("body out of order, or empty");
      body += Buffer.from(chunk.slice(start, end)).toString("latin1");
    },
    responseOnEnd: () => {
      if (head === null || ended) throw new Error("the end came twice or early");
      ended = true;
    },
  };
  parser.reset(options.isHead ?? false);
  let start = 0;
  for (const end of [...cuts, all.length]) {
    const piece = Uint8Array.from(all.subarray(start, end));
    const length = piece.length;
    const used = parser.execute(piece, 0, length, arena, sink);
    structuredClone(piece.buffer, { transfer: [piece.buffer] });
    if (ended || parser.error !== null) {
      if (ended) endedAt = start + used;
      break;
    }
    if (used !== length) throw new Error(`${used} of ${length} bytes used`);
    start = end;
  }
  if (options.fin === true && !ended && parser.error === null) {
    const complete = parser.finish(sink);
    if (complete !== ended || complete !== (parser.error === null)) {
      throw new Error("finish disagrees with what it told");
    }
    if (ended) endedAt = all.length;
  }
  return {
    error: parser.error?.code ?? null,
    status: head === null ? 0 : parser.status,
    head,
    body,
    ended,
    contentLength: head === null ? -1 : parser.contentLength,
    bodyKind: head === null ? BodyKind.NONE : parser.bodyKind,
    keepAlive: head !== null && parser.keepAlive,
    keepAliveTimeoutMs: head === null ? 0 : parser.keepAliveTimeoutMs,
    endedAt,
  };
}

/** Every way to cut a response that the tests try: whole, byte by byte, and at each one place. */
export function everyCut(length: number): number[][] {
  const single = Array.from({ length: Math.max(0, length - 1) }, (_, i) => [i + 1]);
  return [[], Array.from({ length: Math.max(0, length - 1) }, (_, i) => i + 1), ...single];
}
