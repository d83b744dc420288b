import { setImmediate as turn } from "node:timers/promises";

/** How long a wanted thing may take before its test fails; the slowest of them are those of a loaded machine. */
export const WAIT_MS = 20_000;

/**
 * Lets the event loop turn until `holds`: for what no event tells of. A test's support whose own callback brings the
 * thing about has {@link Changes}.
 *
 * @param what names it in the error
 * @throws Error when it does not come
 */
export async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!holds()) {
    if (performance.now() > deadline) throw neverCame(what);
    await turn();
  }
}

/** For support whose state its own callbacks change: it tells of each change, and a test awaits the one it wants. */
export class Changes {
  readonly #waiting = new Set<() => void>();

  tell(): void {
    for (const look of this.#waiting) look();
  }

  /**
   * Resolves once `holds`, now or after a change.
   *
   * @param what names it in the error
   * @throws Error when it does not come
   */
  until(holds: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => {
        this.#waiting.delete(look);
        reject(neverCame(what));
      }, WAIT_MS);
      const look = (): void => {
        if (!holds()) return;
        clearTimeout(limit);
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }
}

function neverCame(what: string): Error {
  return new Error(`never came: ${what}`);
}
