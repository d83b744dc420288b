import type { Stream } from "../mux/index.ts";

/**
 * Streams, each with the time at which it is due; the latest on top.
 *
 * One that is alone lies in fields, because most tunnels that are in use have one idle stream and no other. The lists
 * are made with the first stream in them: a list that is pushed to when it is empty gets room for seventeen.
 */
class DueStreams {
  /** Below all of `#streams`. */
  #first: Stream | null = null;
  #firstUntil = Number.POSITIVE_INFINITY;
  #streams: Stream[] | null = null;
  #untils: number[] | null = null;

  get size(): number {
    const others = this.#streams === null ? 0 : this.#streams.length;
    return this.#first === null ? others : others + 1;
  }

  push(stream: Stream, untilMs: number): void {
    if (this.size === 0) {
      this.#first = stream;
      this.#firstUntil = untilMs;
    } else if (this.#streams === null || this.#untils === null) {
      this.#streams = [stream];
      this.#untils = [untilMs];
    } else {
      this.#streams.push(stream);
      this.#untils.push(untilMs);
    }
  }

  pop(): Stream | null {
    const stream = this.#streams?.pop();
    if (stream === undefined) return this.#takeFirst();
    this.#untils?.pop();
    return stream;
  }

  includes(stream: Stream): boolean {
    return this.#first === stream || this.#streams?.includes(stream) === true;
  }

  remove(stream: Stream): void {
    if (this.#first === stream) {
      this.#takeFirst();
      return;
    }
    const at = this.#streams === null ? -1 : this.#streams.indexOf(stream);
    if (at === -1) return;
    this.#streams?.splice(at, 1);
    this.#untils?.splice(at, 1);
  }

  takeDue(nowMs: number): Stream | null {
    if (this.#first !== null && this.#firstUntil <= nowMs) return this.#takeFirst();
    const untils = this.#untils;
    if (untils === null) return null;
    for (let i = 0; i < untils.length; i++) {
      const until = untils[i];
      if (until !== undefined && until <= nowMs) {
        untils.splice(i, 1);
        return this.#streams?.splice(i, 1)[0] ?? null;
      }
    }
    return null;
  }

  /** When the next one is due, in ms; Infinity for none. */
  nextDue(): number {
    let due = this.#firstUntil;
    if (this.#untils !== null) for (const until of this.#untils) due = Math.min(due, until);
    return due;
  }

  #takeFirst(): Stream | null {
    const first = this.#first;
    this.#first = null;
    this.#firstUntil = Number.POSITIVE_INFINITY;
    return first;
  }
}

/**
 * The streams of one tunnel that no exchange uses: idle ones, kept for the next request, the latest on top; and spent
 * ones, which wait a moment for the device's FIN.
 */
export class IdleStreams extends DueStreams {
  /** Most tunnels never have one. */
  #spent: DueStreams | null = null;

  /** The idle stream that was used last, or null. */
  take(): Stream | null {
    for (;;) {
      const stream = this.pop();
      if (stream === null) return null;
      if (!stream.closed && !stream.remoteEnded) return stream;
    }
  }

  put(stream: Stream, untilMs: number): void {
    this.push(stream, untilMs);
  }

  spend(stream: Stream, untilMs: number): void {
    this.#spent ??= new DueStreams();
    this.#spent.push(stream, untilMs);
  }

  isSpent(stream: Stream): boolean {
    return this.#spent?.includes(stream) === true;
  }

  override remove(stream: Stream): void {
    super.remove(stream);
    this.#spent?.remove(stream);
  }

  takeDueIdle(nowMs: number): Stream | null {
    return this.takeDue(nowMs);
  }

  takeDueSpent(nowMs: number): Stream | null {
    return this.#spent === null ? null : this.#spent.takeDue(nowMs);
  }

  /** When the next one is due, in ms; Infinity for none. */
  override nextDue(): number {
    const due = super.nextDue();
    return this.#spent === null ? due : Math.min(due, this.#spent.nextDue());
  }
}
