/** Must not throw. `hasWaited` is false where it runs within the call that pushed it. */
export type PacedTask = (hasWaited: boolean) => void;

/**
 * Runs tasks in the order in which they come, some in each turn of the event loop, so that whatever else is ready runs
 * between them. The first ones of a burst run at once.
 *
 * It has no limit of its own: whoever pushes has one for what a task stands for.
 */
export class PacedTasks {
  readonly #perTurn: number;
  readonly #nextTurn: (work: () => void) => void;
  #tasks: PacedTask[] = [];
  /** Tasks of this turn that have run; reset when the next one begins. */
  #ran = 0;
  #isScheduled = false;

  /** @param nextTurn calls back in the next turn, after what is ready in it by then */
  constructor(perTurn: number, nextTurn: (work: () => void) => void = setImmediate) {
    this.#perTurn = perTurn;
    this.#nextTurn = nextTurn;
  }

  /** Tasks that wait. */
  get size(): number {
    return this.#tasks.length;
  }

  push(task: PacedTask): void {
    this.#schedule();
    if (this.#ran >= this.#perTurn || this.#tasks.length > 0) {
      this.#tasks.push(task);
      return;
    }
    this.#ran += 1;
    task(false);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#nextTurn(() => {
      this.#isScheduled = false;
      this.#ran = 0;
      this.#runSome();
    });
  }

  #runSome(): void {
    if (this.#tasks.length === 0) return;
    const some = this.#tasks.splice(0, this.#perTurn);
    this.#ran = some.length;
    this.#schedule();
    for (const task of some) task(true);
  }
}
