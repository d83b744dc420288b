/** One-shot timers; handed in, so that a test moves time by hand. */
export interface Timers {
  /** Runs `callback` once after `delayMs`. Returns the way to cancel it, harmless when it has run. */
  after(delayMs: number, callback: () => void): () => void;
}

/** The process's timers. They do not keep the process alive. */
export const processTimers: Timers = {
  after(delayMs, callback) {
    const handle = setTimeout(callback, delayMs).unref();
    return () => clearTimeout(handle);
  },
};
