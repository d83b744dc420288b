import type { HttpResponse } from "uWebSockets.js";

/**
 * Ends a small answer of the relay itself; its head is written before. Call in the route handler or corked.
 *
 * uWS answers pipelined requests one after the other, whatever of earlier answers still waits in its memory: a client
 * that asks and reads nothing would fill it. So a client whose socket takes no more is cut. For an answer without a
 * body uWS does not tell; the connection ends after it.
 *
 * @param body ASCII, so that its length in characters is its length in bytes
 * @param close end the connection after it in any case
 */
export function endAnswer(res: HttpResponse, body: string, isHead: boolean, close = false): void {
  if (isHead) {
    res.endWithoutBody(body.length, true);
    return;
  }
  if (close) {
    res.end(body, true);
    return;
  }
  const [, done] = res.tryEnd(body, body.length);
  if (!done) res.close();
}
