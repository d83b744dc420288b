/**
 * What goes before the first event: a comment of one line, which receivers drop. Enough of a body for the head to leave.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */
export const EVENT_STREAM_OPENING: Uint8Array = Buffer.from(":\n\n");

const TYPE = /\r\ncontent-type:[ \t]*text\/event-stream[ \t]*(?:;|\r\n|$)/i;
/** Coded bytes cannot be added to, and some say that nobody is to. */
const UNTOUCHABLE = /\r\ncontent-encoding:|\r\ncache-control:[^\r]*no-transform/i;

/**
 * Whether an answer is a stream of events to which a comment may be added.
 *
 * @param head `200 OK\r\nname: value…`
 */
export function isEventStream(head: Uint8Array): boolean {
  const text = Buffer.from(head.buffer, head.byteOffset, head.length).toString("latin1");
  return text.startsWith("200") && TYPE.test(text) && !UNTOUCHABLE.test(text);
}

/** Bytes of a mark at the start of `chunk[start, end)` that counts as one only where nothing is before it. */
export function markBytes(chunk: Uint8Array, start: number, end: number): number {
  const isMark =
    end - start >= 3 &&
    chunk[start] === 0xef &&
    chunk[start + 1] === 0xbb &&
    chunk[start + 2] === 0xbf;
  return isMark ? 3 : 0;
}
