import { ABUSE_WINDOW_MS, OVERRUN_WINDOW_MS } from "./constants.ts";
import type { MuxOptions } from "./options.ts";

/** A bucket that starts full and is refilled by the clock it is handed. */
class TokenBucket {
  private tokens: number;
  private at: number;

  constructor(burst: number, now: number) {
    this.tokens = burst;
    this.at = now;
  }

  /** Takes one token; false when there is none. */
  take(now: number, burst: number, perSecond: number): boolean {
    this.tokens = Math.min(burst, this.tokens + ((now - this.at) / 1000) * perSecond);
    this.at = now;
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}

/**
 * A bucket as one number: the time at which it will be full again. Peers ping idle sessions, and
 * those must not own an object for it.
 *
 * @param fullAt the number so far
 * @returns the number after one more token is taken, or -1 when there is none
 */
export function takeToken(fullAt: number, now: number, burst: number, perSecond: number): number {
  const tokenMs = 1000 / Math.max(perSecond, 1e-6);
  const next = Math.max(fullAt, now) + tokenMs;
  return next - now > burst * tokenMs + 1e-6 ? -1 : next;
}

/** Counts events in windows that start with an event. */
class WindowCount {
  private count = 0;
  private since = 0;

  /** Counts one event; the count of the window so far. */
  add(now: number, windowMs: number): number {
    if (this.count === 0 || now - this.since >= windowMs) {
      this.count = 0;
      this.since = now;
    }
    this.count += 1;
    return this.count;
  }
}

/**
 * Rate budgets of one session, made on the first event that is counted.
 *
 * Methods named spend… answer whether the peer is still within its means.
 */
export class Budgets {
  private readonly options: MuxOptions;
  private readonly opens: TokenBucket;
  private readonly earlyResets: TokenBucket;
  private readonly noOps: TokenBucket;
  private readonly refusals = new WindowCount();
  private readonly droppedPings = new WindowCount();
  private readonly overruns = new WindowCount();
  private tinyFrames = 0;
  private tinySince = 0;
  private tinySeconds = 0;

  constructor(options: MuxOptions, now: number) {
    this.options = options;
    this.opens = new TokenBucket(options.opensBurst, now);
    this.earlyResets = new TokenBucket(options.earlyResetsBurst, now);
    this.noOps = new TokenBucket(options.noOpsBurst, now);
    this.tinySince = now;
  }

  spendOpen(now: number): boolean {
    return this.opens.take(now, this.options.opensBurst, this.options.opensPerSecond);
  }

  spendRefusal(now: number): boolean {
    return this.refusals.add(now, ABUSE_WINDOW_MS) < this.options.refusalsMax;
  }

  spendEarlyReset(now: number): boolean {
    const { earlyResetsBurst, earlyResetsPerSecond } = this.options;
    return this.earlyResets.take(now, earlyResetsBurst, earlyResetsPerSecond);
  }

  spendDroppedPing(now: number): boolean {
    return this.droppedPings.add(now, ABUSE_WINDOW_MS) < this.options.droppedPingsMax;
  }

  spendNoOp(now: number): boolean {
    return this.noOps.take(now, this.options.noOpsBurst, this.options.noOpsPerSecond);
  }

  spendOverrun(now: number): boolean {
    return this.overruns.add(now, OVERRUN_WINDOW_MS) < 3;
  }

  /** Abuse is a rate above the limit in each of so many seconds in a row. */
  spendTinyFrame(now: number): boolean {
    if (now - this.tinySince >= 1000) {
      const over = this.tinyFrames > this.options.tinyFramesPerSecond;
      this.tinySeconds = over && now - this.tinySince < 2000 ? this.tinySeconds + 1 : 0;
      this.tinyFrames = 0;
      this.tinySince = now;
    }
    this.tinyFrames += 1;
    return this.tinySeconds < this.options.tinyFramesSeconds;
  }
}
