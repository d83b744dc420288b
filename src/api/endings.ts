import { type Slot, SlotList } from "../core/slot-list.ts";
import type { Endings, Running } from "./context.ts";

/**
 * Keeps what runs, and nothing else. Things begin and end all the time and principals hardly ever end: so that the former
 * costs little, the latter looks at all that runs.
 */
export class RunningByPrincipal implements Endings {
  readonly #running = new SlotList<Running>();

  /** What runs. */
  get size(): number {
    return this.#running.size;
  }

  end(refs: Iterable<string>): void {
    const ended = new Set(refs);
    // One that is cut may end others, which then are not in the list any more.
    for (const slot of this.#running.slots()) {
      if (ended.has(slot.value.ref) && this.#running.remove(slot)) slot.value.cut();
    }
  }

  begin(running: Running): Slot<Running> {
    return this.#running.add(running);
  }

  over(slot: Slot<Running>): void {
    this.#running.remove(slot);
  }
}
