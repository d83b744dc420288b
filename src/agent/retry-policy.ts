import { Backoff } from "../core/backoff.ts";
import type { TunnelEnd } from "./tunnel-end.ts";

/** Why the agent is without a tunnel, in one word; stable, for logs and events. */
export type DisconnectCause =
  | "unreachable"
  | "tls"
  | "token_refused"
  | "limited"
  | "rejected"
  | "revoked"
  | "displaced"
  | "disconnected"
  | "restarting"
  | "protocol"
  | "lost";

/** Times of the policy, all in milliseconds. */
export interface RetrySettings {
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
  /** A tunnel that lived this long ends the back-off. */
  readonly stableMs: number;
  /** Between attempts with a token that the relay refused or revoked. */
  readonly refusedRetryMs: number;
  /** First pause after another connection took this device's place; doubles up to `displacedRetryCapMs`. */
  readonly displacedRetryMs: number;
  readonly displacedRetryCapMs: number;
  /** More than this is not waited on the word of a relay. */
  readonly retryAfterCapMs: number;
}

/** When to dial again, and why the tunnel ended. */
export interface RetryPlan {
  readonly cause: DisconnectCause;
  readonly delayMs: number;
}

/** Close codes that a relay uses, beside the plain WebSocket ones (design section 5). */
export const CloseCode = {
  GOING_AWAY: 1001,
  PROTOCOL_ERROR: 1002,
  UNSUPPORTED_DATA: 1003,
  POLICY_VIOLATION: 1008,
  MESSAGE_TOO_BIG: 1009,
  SERVICE_RESTART: 1012,
  TRY_AGAIN_LATER: 1013,
  REVOKED: 4403,
  DISPLACED: 4409,
  DISCONNECTED: 4410,
} as const;

/** Pure: from the way a tunnel ended to the delay before the next dial. Owns the back-off, but no timer. */
export class RetryPolicy {
  readonly #settings: RetrySettings;
  readonly #random: () => number;
  readonly #backoff: Backoff;
  #displacements = 0;

  constructor(settings: RetrySettings, random: () => number = Math.random) {
    this.#settings = settings;
    this.#random = random;
    this.#backoff = new Backoff({
      baseMs: settings.backoffBaseMs,
      capMs: settings.backoffCapMs,
      random,
    });
  }

  /** Dials that failed, or tunnels that did not last, in a row. */
  get attempts(): number {
    return this.#backoff.attempts;
  }

  /** @param livedMs how long the tunnel was up; 0 for one that never was */
  plan(end: TunnelEnd, livedMs: number): RetryPlan {
    this.#credit(livedMs);
    if (end.kind === "unreachable") {
      return { cause: end.tls ? "tls" : "unreachable", delayMs: this.#backoff.next() };
    }
    return end.kind === "rejected"
      ? this.#planRejected(end.status, end.retryAfterMs)
      : this.#planClosed(end.closeCode, end.protocol);
  }

  /**
   * The relay asks to be left for another one. The next dial is at once after a stable while; a relay that says so
   * right after every handshake is dialled with back-off.
   */
  goAwayDelayMs(livedMs: number): number {
    this.#credit(livedMs);
    return livedMs >= this.#settings.stableMs ? 0 : this.#backoff.next();
  }

  #credit(livedMs: number): void {
    if (livedMs < this.#settings.stableMs) return;
    this.#backoff.reset();
    this.#displacements = 0;
  }

  #planRejected(status: number, askedMs: number | null): RetryPlan {
    const floorMs = Math.min(askedMs ?? 0, this.#settings.retryAfterCapMs);
    if (status === 401 || status === 403) {
      const slowMs = this.#around(this.#settings.refusedRetryMs);
      return { cause: "token_refused", delayMs: Math.max(floorMs, slowMs) };
    }
    // Jitter is added, not taken off: the relay said "not before", and a fleet hears it all at once.
    const delayMs = floorMs + this.#backoff.next();
    return { cause: status === 429 || status === 503 ? "limited" : "rejected", delayMs };
  }

  #planClosed(closeCode: number, protocol: boolean): RetryPlan {
    switch (closeCode) {
      case CloseCode.REVOKED:
        return { cause: "revoked", delayMs: this.#around(this.#settings.refusedRetryMs) };
      case CloseCode.DISPLACED:
        return { cause: "displaced", delayMs: this.#displacedMs() };
      case CloseCode.DISCONNECTED:
        return { cause: "disconnected", delayMs: this.#backoff.next() };
      case CloseCode.GOING_AWAY:
      case CloseCode.SERVICE_RESTART:
      case CloseCode.TRY_AGAIN_LATER:
        return { cause: "restarting", delayMs: this.#backoff.next() };
      case CloseCode.PROTOCOL_ERROR:
      case CloseCode.UNSUPPORTED_DATA:
      case CloseCode.POLICY_VIOLATION:
      case CloseCode.MESSAGE_TOO_BIG:
        return { cause: "protocol", delayMs: this.#backoff.next() };
      default:
        return { cause: protocol ? "protocol" : "lost", delayMs: this.#backoff.next() };
    }
  }

  #displacedMs(): number {
    const { displacedRetryMs, displacedRetryCapMs } = this.#settings;
    const delayMs = Math.min(displacedRetryCapMs, displacedRetryMs * 2 ** this.#displacements);
    this.#displacements = Math.min(this.#displacements + 1, 30);
    return this.#around(delayMs);
  }

  /** Within 20 % of `ms`, so that a fleet does not come back in step. */
  #around(ms: number): number {
    return ms * (0.8 + 0.4 * this.#random());
  }
}
