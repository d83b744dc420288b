/** One-shot timers; handed in, so that a test moves time by hand. */
export interface Timers {
  /** Runs `callback` once after `delayMs` milliseconds. Returns a handle for {@link Timers.clear}. */
  set(callback: () => void, delayMs: number): unknown;
  /** Cancels; a handle that has fired, or null, is ignored. */
  clear(handle: unknown): void;
}

/** The process's timers. They keep the process alive. */
export const processTimers: Timers = {
  set: (callback, delayMs) => setTimeout(callback, delayMs),
  clear: (handle) => clearTimeout(handle as NodeJS.Timeout | undefined),
};
