/** One-shot timers of work in the background; handed in, so that a test moves time by hand. */
export interface GateTimers {
  /** Runs `callback` once after `delayMs` milliseconds. Returns a handle for {@link GateTimers.clear}. */
  set(callback: () => void, delayMs: number): unknown;
  /** Cancels; a handle that has fired, or null, is ignored. */
  clear(handle: unknown): void;
}

/** The process's timers. They do not keep the process alive: the relay's listeners do. */
export const backgroundTimers: GateTimers = {
  set: (callback, delayMs) => setTimeout(callback, delayMs).unref(),
  clear: (handle) => clearTimeout(handle as NodeJS.Timeout | undefined),
};
