import type { Writable } from "node:stream";
import { atTurnEnd, type TurnWriter } from "../core/turn-end.ts";

/** A piece up to this size waits for the end of its turn: a larger one is worth a write of its own. */
export const HELD_BYTES_MAX = 16_384;

/**
 * A body on its way into `out`. A small piece leaves at the end of the turn, with the head and with what is sent elsewhere; it is
 * one piece at the most that waits. Writes nothing any more once `out` is destroyed.
 */
export class HeldBody implements TurnWriter {
  readonly #out: Writable;
  readonly #onFull: (() => void) | null;
  #sendHead: (() => void) | null = null;
  #piece: Buffer | null = null;
  #isHeld = false;
  #isEnded = false;

  /** @param onFull is told when a piece that waited found no room behind it: `out` drains later */
  constructor(out: Writable, onFull: (() => void) | null) {
    this.#out = out;
    this.#onFull = onFull;
  }

  /** Has the head sent at the end of the turn, by itself where neither a piece nor the end comes before that. */
  begin(sendHead: () => void): void {
    this.#sendHead = sendHead;
    this.#hold();
  }

  /** Takes a piece, which belongs to `out` from then on. Returns false where the next one should wait until `out` drains. */
  write(piece: Buffer): boolean {
    if (this.#piece === null && piece.length <= HELD_BYTES_MAX) {
      this.#piece = piece;
      if (!this.#isHeld) this.#hold();
      return true;
    }
    const hadRoom = this.#send();
    return this.#out.destroyed || (this.#out.write(piece) && hadRoom);
  }

  /** Ends `out` behind what was written. */
  end(): void {
    this.#isEnded = true;
    if (!this.#isHeld) this.#hold();
  }

  flush(): void {
    const isBare = this.#isHeld && this.#piece === null && !this.#isEnded;
    if (isBare && !this.#out.destroyed) this.#sendHead?.();
    if (!this.#send()) this.#onFull?.();
  }

  #hold(): void {
    this.#isHeld = true;
    atTurnEnd(this);
  }

  /** Sends what waits. Returns false where there is no room behind it. */
  #send(): boolean {
    if (!this.#isHeld) return true;
    const piece = this.#piece;
    this.#isHeld = false;
    this.#piece = null;
    if (this.#out.destroyed) return true;
    if (!this.#isEnded) return piece === null || this.#out.write(piece);
    if (piece === null) this.#out.end();
    else this.#out.end(piece);
    return true;
  }
}
