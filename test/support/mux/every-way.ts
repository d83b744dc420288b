import { concat, ping } from "./frames.ts";
import type { AfterReceive, Harness } from "./harness.ts";

/** One way of handing the same bytes to a session. */
export interface Way {
  readonly name: string;
  readonly afterReceive: AfterReceive;
  /** Bytes in each message; 0 = all in one. */
  readonly piece: number;
  /** Append the begin of a further header. */
  readonly trails: boolean;
}

const ways: readonly Way[] = [
  { name: "whole", afterReceive: "overwrite", piece: 0, trails: false },
  { name: "byte by byte", afterReceive: "overwrite", piece: 1, trails: false },
  { name: "in sevens", afterReceive: "overwrite", piece: 7, trails: false },
  { name: "with trailing bytes", afterReceive: "overwrite", piece: 0, trails: true },
  { name: "byte by byte with trailing bytes", afterReceive: "detach", piece: 1, trails: true },
  { name: "detached", afterReceive: "detach", piece: 0, trails: false },
  { name: "byte by byte, detached", afterReceive: "detach", piece: 1, trails: false },
];

/**
 * Runs a decoder case whole, byte by byte, in sevens, with trailing bytes and with the chunk detached after the call.
 *
 * @param setup makes the session and brings it to where the case begins
 * @param bytes the frames of the case
 * @param check what must hold afterwards; what `setup` caused to be sent is cleared before
 */
export function inEveryWay(
  setup: (afterReceive: AfterReceive) => Harness,
  bytes: Uint8Array,
  check: (harness: Harness) => void,
): void {
  for (const way of ways) {
    const harness = setup(way.afterReceive);
    harness.transport.clear();
    const extra = ping(0x01020304);
    const all = way.trails ? concat([bytes, extra.subarray(0, 7)]) : bytes;
    try {
      feedInPieces(harness, all, way.piece);
      harness.settle();
      harness.trailing = way.trails ? extra.slice(7) : null;
      check(harness);
      if (harness.session.isOpen) harness.finishTrailing();
    } catch (error) {
      throw new Error(`given ${way.name}: ${(error as Error).message}`, { cause: error });
    }
  }
}

/** Feeds `bytes` in messages of `piece` bytes within one loop turn. 0 = in one message. */
export function feedInPieces(harness: Harness, bytes: Uint8Array, piece: number): void {
  const step = piece === 0 ? Math.max(bytes.length, 1) : piece;
  for (let at = 0; at < bytes.length; at += step) harness.feed(bytes.slice(at, at + step));
}
