import type { ApiContext, Principal } from "../index.ts";
import { findEndedPrincipals } from "../store/index.ts";
import type { Timers } from "../timers.ts";

interface Running {
  /** By what the store knows the principal. */
  readonly id: string;
  readonly kind: "session" | "key";
  count: number;
}

/**
 * Asks once a minute whether those in whose name requests run are still let in. This process ends at once what it ends itself;
 * what another process ended, and what just expires, is found here. Nothing is asked while nothing runs.
 */
export class PrincipalRecheck {
  readonly #context: ApiContext;
  readonly #timers: Timers;
  readonly #everyMs: number;
  /** By the principal's `ref`; no more than requests run. */
  readonly #running = new Map<string, Running>();
  #isSet = false;

  constructor(context: ApiContext, timers: Timers, everyMs: number) {
    this.#context = context;
    this.#timers = timers;
    this.#everyMs = everyMs;
  }

  begin({ ref, kind, session }: Principal): void {
    const known = this.#running.get(ref);
    if (known !== undefined) {
      known.count += 1;
      return;
    }
    if (kind === "key") this.#running.set(ref, { id: ref, kind, count: 1 });
    else if (session !== undefined) {
      this.#running.set(ref, { id: session.key, kind: "session", count: 1 });
    }
    this.#schedule();
  }

  end(ref: string): void {
    const known = this.#running.get(ref);
    if (known === undefined) return;
    known.count -= 1;
    if (known.count === 0) this.#running.delete(ref);
  }

  #schedule(): void {
    if (this.#isSet || this.#running.size === 0) return;
    this.#isSet = true;
    this.#timers.after(this.#everyMs, () => {
      void this.#check();
    });
  }

  async #check(): Promise<void> {
    const { store, endings, logger } = this.#context;
    const running = [...this.#running];
    const idsOf = (wanted: Running["kind"]): string[] =>
      running.filter(([, { kind }]) => kind === wanted).map(([, { id }]) => id);
    try {
      const asked = { sessions: idsOf("session"), keys: idsOf("key") };
      const ended = await findEndedPrincipals(store, asked);
      endings.end(running.filter(([, { id }]) => ended.has(id)).map(([ref]) => ref));
    } catch (error) {
      // Who was let in stays in while nobody can say otherwise.
      logger.warn({ err: error }, "running requests cannot be checked");
    }
    this.#isSet = false;
    this.#schedule();
  }
}
