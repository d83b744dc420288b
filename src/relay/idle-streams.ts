import type { Stream } from "../mux/index.ts";

/**
 * The streams of one tunnel that no exchange uses: idle ones, kept for the next request, the latest on top; and spent
 * ones, which wait a moment for the device's FIN.
 */
export class IdleStreams {
  readonly #idle = new DueStreams();
  /** Most tunnels never have one. */
  #spent: DueStreams | null = null;

  /** The idle stream that was used last, or null. */
  take(): Stream | null {
    for (;;) {
      const stream = this.#idle.pop();
      if (stream === null) return null;
      if (!stream.closed && !stream.remoteEnded) return stream;
    }
  }

  /** Idle streams now. */
  get size(): number {
    return this.#idle.size;
  }

  put(stream: Stream, untilMs: number): void {
    this.#idle.push(stream, untilMs);
  }

  spend(stream: Stream, untilMs: number): void {
    this.#spent ??= new DueStreams();
    this.#spent.push(stream, untilMs);
  }

  isSpent(stream: Stream): boolean {
    return this.#spent?.includes(stream) === true;
  }

  remove(stream: Stream): void {
    this.#idle.remove(stream);
    this.#spent?.remove(stream);
  }

  takeDueIdle(nowMs: number): Stream | null {
    return this.#idle.takeDue(nowMs);
  }

  takeDueSpent(nowMs: number): Stream | null {
    return this.#spent === null ? null : this.#spent.takeDue(nowMs);
  }

  /** When the next one is due, in ms; Infinity for none. */
  nextDue(): number {
    const due = this.#idle.nextDue();
    return this.#spent === null ? due : Math.min(due, this.#spent.nextDue());
  }
}

/**
 * Streams, each with the time at which it is due.
 *
 * The two lists are made with the first stream in them: a list that is pushed to when it is empty gets room for
 * seventeen, which is a third of a kilobyte for each tunnel that served one request.
 */
class DueStreams {
  #streams: Stream[] | null = null;
  #untils: number[] | null = null;

  get size(): number {
    return this.#streams === null ? 0 : this.#streams.length;
  }

  push(stream: Stream, untilMs: number): void {
    if (this.#streams === null || this.#untils === null) {
      this.#streams = [stream];
      this.#untils = [untilMs];
      return;
    }
    this.#streams.push(stream);
    this.#untils.push(untilMs);
  }

  pop(): Stream | null {
    const stream = this.#streams?.pop();
    if (stream === undefined) return null;
    this.#untils?.pop();
    return stream;
  }

  includes(stream: Stream): boolean {
    return this.#streams?.includes(stream) === true;
  }

  remove(stream: Stream): void {
    const at = this.#streams === null ? -1 : this.#streams.indexOf(stream);
    if (at === -1) return;
    this.#streams?.splice(at, 1);
    this.#untils?.splice(at, 1);
  }

  takeDue(nowMs: number): Stream | null {
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

  nextDue(): number {
    let due = Number.POSITIVE_INFINITY;
    if (this.#untils !== null) for (const until of this.#untils) due = Math.min(due, until);
    return due;
  }
}
