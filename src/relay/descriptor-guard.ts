import { closeSync, openSync } from "node:fs";

/** Files kept open, to be given up when the process has no other descriptor left. */
const RESERVE = 16;
/** Descriptors beyond the reserve that must be free before connections are accepted again. */
const SPARE = 16;

/** A listener that can stop taking connections for a while. */
export interface Pausable {
  pause(): void;
  resume(): void;
}

/** Where descriptors come from; a test hands in its own. */
export interface Descriptors {
  /** @throws when there is none left */
  take(): number;
  giveBack(descriptor: number): void;
}

const SYSTEM: Descriptors = {
  take: () => openSync("/dev/null", "r"),
  giveBack: (descriptor) => closeSync(descriptor),
};

/**
 * Keeps the relay in order when the process runs out of file descriptors.
 *
 * A connection that cannot be accepted stays in the kernel's queue, and a listener that is asked by level is told of it
 * again at once: the loop would turn at full speed and serve nobody new, health checks included. So the listeners stop,
 * the first one first, and start again when descriptors are free. What is connected goes on all the while.
 */
export class DescriptorGuard {
  readonly #listeners: readonly Pausable[];
  readonly #descriptors: Descriptors;
  readonly #onChange: (accepting: boolean) => void;
  #reserve: number[];
  /** How many of the listeners are paused. */
  #paused = 0;

  /**
   * @param listeners the first is paused first, the others only if that is not enough
   * @param onChange told when the first listener stops and when all are back
   */
  constructor(
    listeners: readonly Pausable[],
    onChange: (accepting: boolean) => void,
    descriptors: Descriptors = SYSTEM,
  ) {
    this.#listeners = listeners;
    this.#onChange = onChange;
    this.#descriptors = descriptors;
    this.#reserve = this.#takeUpTo(RESERVE);
  }

  /** Looks whether descriptors are left. To be called some times a second. */
  check(): void {
    if (this.#paused > 0 && this.#recover()) return;
    const probe = this.#takeUpTo(1);
    this.#giveBack(probe);
    if (probe.length > 0 || this.#paused === this.#listeners.length) return;
    this.#listeners[this.#paused]?.pause();
    this.#paused += 1;
    // What is left of the listeners, and files that are read, live on the reserve.
    this.#giveBack(this.#reserve);
    this.#reserve = [];
    if (this.#paused === 1) this.#onChange(false);
  }

  /** Gives the reserve back. Nothing is paused or resumed any more. */
  close(): void {
    this.#giveBack(this.#reserve);
    this.#reserve = [];
  }

  /** Whether there is room again, for the reserve and some connections. */
  #recover(): boolean {
    const taken = this.#takeUpTo(RESERVE + SPARE);
    if (taken.length < RESERVE + SPARE) {
      this.#giveBack(taken);
      return false;
    }
    this.#reserve = taken.splice(0, RESERVE);
    this.#giveBack(taken);
    for (const listener of this.#listeners.slice(0, this.#paused)) listener.resume();
    this.#paused = 0;
    this.#onChange(true);
    return true;
  }

  #takeUpTo(count: number): number[] {
    const taken: number[] = [];
    try {
      while (taken.length < count) taken.push(this.#descriptors.take());
    } catch {
      // There are no more.
    }
    return taken;
  }

  #giveBack(descriptors: readonly number[]): void {
    for (const descriptor of descriptors) this.#descriptors.giveBack(descriptor);
  }
}
