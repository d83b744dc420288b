const WINDOW_MS = 60_000;
/** Events of one name that one caller causes in a minute and that are told one by one. */
const TOLD_MAX = 60;
/** Callers that are remembered; those whose window began first are forgotten first. */
const CALLERS_MAX = 10_000;

interface Window {
  readonly startedAt: number;
  told: number;
  suppressed: number;
}

/**
 * Keeps a log that is never cleared from being filled by whoever sends bad requests fast: of one caller 60 events of a
 * name are told in a minute, of `excess_rate_limit_exceeded` one.
 */
export class EventLimit {
  readonly #windows = new Map<string, Window>();
  readonly #now: () => number;
  readonly #callersMax: number;

  /** @param now milliseconds since 1970 in UTC */
  constructor(now: () => number, callersMax = CALLERS_MAX) {
    this.#now = now;
    this.#callersMax = callersMax;
  }

  /**
   * How many like it were not told since the last one that was; null where this one is not to be told either.
   *
   * @param who caused it: an id of the caller, or a network
   */
  admit(event: string, who: string): number | null {
    const windows = this.#windows;
    const now = this.#now();
    const name = `${event}\0${who}`;
    const known = windows.get(name);
    const isOver =
      known === undefined || now < known.startedAt || now - known.startedAt >= WINDOW_MS;
    if (isOver) {
      windows.delete(name);
      windows.set(name, { startedAt: now, told: 1, suppressed: 0 });
      if (windows.size > this.#callersMax) this.#forgetFirst();
      return known?.suppressed ?? 0;
    }
    if (known.told < (event === "excess_rate_limit_exceeded" ? 1 : TOLD_MAX)) {
      known.told += 1;
      return 0;
    }
    known.suppressed += 1;
    return null;
  }

  #forgetFirst(): void {
    for (const name of this.#windows.keys()) {
      this.#windows.delete(name);
      return;
    }
  }
}
