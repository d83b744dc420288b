import { ChunkedBody, type ChunkLimits } from "../../core/http1/chunked-body.ts";
import { AnswerFault } from "./answer-fault.ts";

/** The relay writes neither extensions nor trailers. A size of 2^48 and more is none. */
const LIMITS: ChunkLimits = { sizeDigitsMax: 12, extensionBytesMax: 0, trailerBytesMax: 0 };

/** Takes the data `bytes[start, end)` of a chunk, borrowed. */
export type OnChunkData = (bytes: Buffer, start: number, end: number) => void;

/** Finds the end of a chunked body. Keeps numbers only, so that the bytes can be passed on as they came. */
export class ChunkScanner {
  readonly #body = new ChunkedBody(LIMITS);

  /** The empty line behind the last chunk was seen. */
  get isDone(): boolean {
    return this.#body.done;
  }

  /**
   * Reads `bytes[start, end)`.
   *
   * @param onData null where the data itself is not wanted
   * @returns where the body ended, or `end`
   * @throws AnswerFault
   */
  scan(bytes: Buffer, start: number, end: number, onData: OnChunkData | null): number {
    const body = this.#body;
    let at = start;
    while (at < end && !body.done) {
      at = body.next(bytes, at, end);
      if (body.problem !== null) throw new AnswerFault("a malformed chunk");
      if (body.dataEnd > at) {
        onData?.(bytes, at, body.dataEnd);
        at = body.dataEnd;
      }
    }
    return at;
  }
}
