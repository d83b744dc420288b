import type { Clock } from "../core/clock.ts";

/** Where the agent logs; a pino logger fits. Fields never hold a token. */
export interface AgentLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Levels that a state line is logged with. */
export type LogLevel = keyof AgentLog;

function discard(): void {}

/** Logs nothing. */
export const silentLog: AgentLog = { debug: discard, info: discard, warn: discard, error: discard };

/**
 * Warnings that may come once a request: at most one line per reason in an interval, with the number left out since.
 */
export class ThrottledLog {
  readonly #log: AgentLog;
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #seen = new Map<string, { nextAt: number; suppressed: number }>();

  constructor(log: AgentLog, clock: Clock, intervalMs = 10_000) {
    this.#log = log;
    this.#clock = clock;
    this.#intervalMs = intervalMs;
  }

  /** @param reason one of a small fixed set, for example an error code */
  warn(reason: string, fields: object, message: string): void {
    const now = this.#clock.now();
    const entry = this.#seen.get(reason);
    if (entry !== undefined && now < entry.nextAt) {
      entry.suppressed += 1;
      return;
    }
    const suppressed = entry?.suppressed ?? 0;
    this.#seen.set(reason, { nextAt: now + this.#intervalMs, suppressed: 0 });
    this.#log.warn(suppressed === 0 ? fields : { ...fields, suppressed }, message);
  }
}
