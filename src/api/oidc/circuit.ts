import type { Clock } from "../../core/clock.ts";

const FAILURES_MAX = 5;
const WINDOW_MS = 30_000;
/** Long enough that a provider that hangs costs one call at a time, short enough that nobody waits for its return. */
const OPEN_MS = 10_000;

/**
 * Stops calls to a provider that fails: after five failures within 30 s everything is refused for 10 s, then one call
 * tries. A success closes it.
 *
 * ```
 * closed ──5 failures in 30 s──▶ open ──10 s──▶ one call ──success──▶ closed
 *                                  ▲               │
 *                                  └────failure────┘
 * ```
 */
export class Circuit {
  readonly #clock: Clock;
  /** When the last failures were, oldest first. */
  #failures: number[] = [];
  #openUntilMs: number | null = null;
  #trying = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isOpen(): boolean {
    return this.#openUntilMs !== null;
  }

  /** Whether a call may go out. One that may must report {@link succeed} or {@link fail}. */
  enter(): boolean {
    if (this.#openUntilMs === null) return true;
    if (this.#trying || this.#clock.now() < this.#openUntilMs) return false;
    this.#trying = true;
    return true;
  }

  succeed(): void {
    this.#failures = [];
    this.#openUntilMs = null;
    this.#trying = false;
  }

  fail(): void {
    const now = this.#clock.now();
    this.#failures = [...this.#failures.filter((at) => now - at < WINDOW_MS), now];
    if (this.#trying || this.#failures.length >= FAILURES_MAX) {
      this.#openUntilMs = now + OPEN_MS;
      this.#failures = this.#failures.slice(-FAILURES_MAX);
    }
    this.#trying = false;
  }
}
