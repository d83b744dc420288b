import type { Dispatcher } from "undici";

type Body = Dispatcher.ResponseData["body"];

/** A body has more bytes than its reader takes. */
export class BodyTooLarge extends Error {}

/** What is read of a body that nobody wants, so that its connection serves the next call; more is cut. */
const DRAIN_BYTES_MAX = 65_536;

/**
 * Reads a body as UTF-8.
 *
 * @throws BodyTooLarge over `bytesMax`; the connection is closed then
 */
export async function readBody(body: Body, bytesMax: number): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > bytesMax) throw new BodyTooLarge(`the body has more than ${bytesMax} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces, bytes).toString("utf8");
}

/**
 * Reads a body to its end and returns its first `bytesMax` bytes as UTF-8. A body of more than 64 KiB, or one that
 * breaks off, is given up: what came of it counts.
 */
export async function readBodyStart(body: Body, bytesMax: number): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      if (bytes < bytesMax) pieces.push(piece.subarray(0, bytesMax - bytes));
      bytes += piece.length;
      if (bytes > DRAIN_BYTES_MAX) break;
    }
  } catch {
    // The status is known, and that is what the caller is told.
  }
  return Buffer.concat(pieces).toString("utf8");
}
