import { monotonicClock } from "../core/clock.ts";
import type { OidcTimers } from "./oidc/index.ts";

/** The process's monotonic clock and timers, as the relying party wants them. They do not keep the process alive. */
export const systemTime: OidcTimers & { now(): number } = {
  now: () => monotonicClock.now(),
  set: (callback, delayMs) => setTimeout(callback, delayMs).unref(),
  clear: (handle) => clearTimeout(handle as NodeJS.Timeout | undefined),
};
