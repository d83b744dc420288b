import type { Stream } from "../mux/index.ts";

/**
 * The streams of one tunnel that no exchange uses: idle ones, kept for the next request, the latest on top; and spent
 * ones, which wait a moment for the device's FIN.
 */
export class IdleStreams {
  readonly #idle: Stream[] = [];
  readonly #idleUntil: number[] = [];
  readonly #spent: Stream[] = [];
  readonly #spentUntil: number[] = [];

  /** The idle stream that was used last, or null. */
  take(): Stream | null {
    for (;;) {
      const stream = this.#idle.pop();
      if (stream === undefined) return null;
      this.#idleUntil.pop();
      if (!stream.closed && !stream.remoteEnded) return stream;
    }
  }

  /** Idle streams now. */
  get size(): number {
    return this.#idle.length;
  }

  put(stream: Stream, untilMs: number): void {
    this.#idle.push(stream);
    this.#idleUntil.push(untilMs);
  }

  spend(stream: Stream, untilMs: number): void {
    this.#spent.push(stream);
    this.#spentUntil.push(untilMs);
  }

  isSpent(stream: Stream): boolean {
    return this.#spent.includes(stream);
  }

  remove(stream: Stream): void {
    removeFrom(this.#idle, this.#idleUntil, stream);
    removeFrom(this.#spent, this.#spentUntil, stream);
  }

  takeDueIdle(nowMs: number): Stream | null {
    return takeDue(this.#idle, this.#idleUntil, nowMs);
  }

  takeDueSpent(nowMs: number): Stream | null {
    return takeDue(this.#spent, this.#spentUntil, nowMs);
  }

  /** When the next one is due, in ms; Infinity for none. */
  nextDue(): number {
    let due = Number.POSITIVE_INFINITY;
    for (const until of this.#idleUntil) due = Math.min(due, until);
    for (const until of this.#spentUntil) due = Math.min(due, until);
    return due;
  }
}

function removeFrom(streams: Stream[], untils: number[], stream: Stream): void {
  const at = streams.indexOf(stream);
  if (at === -1) return;
  streams.splice(at, 1);
  untils.splice(at, 1);
}

function takeDue(streams: Stream[], untils: number[], nowMs: number): Stream | null {
  for (let i = 0; i < streams.length; i++) {
    const until = untils[i];
    if (until !== undefined && until <= nowMs) {
      untils.splice(i, 1);
      return streams.splice(i, 1)[0] ?? null;
    }
  }
  return null;
}
