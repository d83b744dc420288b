import type { Logger } from "pino";
import { processTimers, type Timers } from "./timers.ts";

/** How often the API server cleans up. */
const HOUSEKEEPING_MS = 60_000;

/** Does something again and again, a while after the last time was over: it never runs twice at once. */
export class Housekeeping {
  readonly #run: () => Promise<void>;
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #intervalMs: number;
  #running: Promise<void> | null = null;
  #cancel: (() => void) | null = null;
  #isStarted = false;

  constructor(
    run: () => Promise<void>,
    options: { readonly logger: Logger; readonly intervalMs?: number; readonly timers?: Timers },
  ) {
    this.#run = run;
    this.#logger = options.logger;
    this.#intervalMs = options.intervalMs ?? HOUSEKEEPING_MS;
    this.#timers = options.timers ?? processTimers;
  }

  /** Runs now, and from then on after each interval. A second call does nothing. */
  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#go();
  }

  /** Begins no further run and waits for the one under way. It may be started again. */
  async stop(): Promise<void> {
    this.#isStarted = false;
    this.#cancel?.();
    this.#cancel = null;
    await this.#running;
  }

  #go(): void {
    // One that was stopped and started again may still be under way: it goes on by itself.
    if (this.#running !== null) return;
    this.#running = this.#once().finally(() => {
      this.#running = null;
      if (this.#isStarted) this.#cancel = this.#timers.after(this.#intervalMs, () => this.#go());
    });
  }

  async #once(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      this.#logger.error({ err: error }, "housekeeping failed; it is tried again");
    }
  }
}
