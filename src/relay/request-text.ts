import type { HttpResponse } from "uWebSockets.js";

/**
 * Reads a whole request body as UTF-8, for calls of the internal API. Call in the route handler.
 *
 * @param done is called once, corked, with the text, or with null as soon as there are more than `bytesMax` bytes.
 *   Not called when the client leaves first.
 */
export function readRequestText(
  res: HttpResponse,
  bytesMax: number,
  done: (text: string | null) => void,
): void {
  const pieces: Buffer[] = [];
  let bytes = 0;
  let over = false;
  const finish = (text: string | null): void => {
    over = true;
    pieces.length = 0;
    res.cork(() => done(text));
  };
  res.onAborted(() => {
    over = true;
    pieces.length = 0;
  });
  res.onData((piece, isLast) => {
    if (over) return;
    bytes += piece.byteLength;
    if (bytes > bytesMax) {
      finish(null);
      return;
    }
    // The piece is detached when this returns.
    pieces.push(Buffer.from(new Uint8Array(piece)));
    if (isLast) finish(Buffer.concat(pieces, bytes).toString("utf8"));
  });
}
