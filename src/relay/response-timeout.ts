import type { TemplatedApp } from "uWebSockets.js";

/** Two periods of `KEEP_AWAKE_MS.LONG` and some. uWS's timer knows at most 960 s. */
const RESPONSE_TIMEOUT_S = 300;

/** What uWebSockets.js has and its declarations lack. Not every version has it. */
interface AdjustableApp {
  setResponseTimeout?(seconds: number): unknown;
}

/**
 * How often uWS's own timers are reset so that they end no exchange: our limits alone rule. `SHORT` fits the 30 s that
 * uWS gives a request whose body does not come; `LONG` what it gives a response after `lengthenResponseTimeout`.
 */
export const KEEP_AWAKE_MS = { SHORT: 8_000, LONG: 120_000 } as const;

/**
 * Gives responses more time than the 30 s after which uWS aborts one that its client's socket does not take. To reset
 * that timer costs a write, of which uWS complains on standard error when there is nobody to answer.
 *
 * @returns how often it has to be reset, ms
 */
export function lengthenResponseTimeout(app: TemplatedApp): number {
  const adjustable = app as AdjustableApp;
  if (adjustable.setResponseTimeout === undefined) return KEEP_AWAKE_MS.SHORT;
  adjustable.setResponseTimeout(RESPONSE_TIMEOUT_S);
  return KEEP_AWAKE_MS.LONG;
}
