import { assert } from "./assert.ts";

/**
 * Something that wants to be called at about a time. The links are fields of the entry, so that an entry costs the
 * wheel nothing else; they belong to the wheel, and start as `null`, `null`, `-1`, `0`.
 */
export interface WheelEntry {
  wheelNext: WheelEntry | null;
  wheelPrevious: WheelEntry | null;
  /** Slot that the entry is in; negative when it is in none. */
  wheelSlot: number;
  /** When it is due, ms of the wheel's clock. */
  wheelAtMs: number;
  /** Its time has come. It is no longer scheduled, and may schedule itself, or any other entry, again. */
  wheelOnDue(nowMs: number): void;
}

/** Width of a slot. Entries are called up to so much late, and as late as `advance` is called. */
const TICK_MS = 250;
/** Slots of the wheel: two minutes. An entry further away is passed over until its turn comes. */
const SLOTS = 512;
const NOT_SCHEDULED = -1;
/** Found due and not yet called. */
const DUE = -2;

/**
 * One hashed timer wheel for all that have something due: ten thousand tunnels need no timer of their own. Scheduling
 * and cancelling are O(1); it owns no timer and no clock, whoever has it calls `advance`.
 */
export class TimerWheel {
  readonly #slots: (WheelEntry | null)[] = new Array<WheelEntry | null>(SLOTS).fill(null);
  /** The last tick whose slot was emptied. */
  #tick: number;
  #size = 0;
  #due: WheelEntry[] = [];

  /** @param nowMs the clock's time now */
  constructor(nowMs: number) {
    this.#tick = Math.floor(nowMs / TICK_MS);
  }

  /** Entries that are scheduled. */
  get size(): number {
    return this.#size;
  }

  /** Schedules the entry, or moves it to another time; `Infinity` takes it out. Never called before `atMs`. */
  schedule(entry: WheelEntry, atMs: number): void {
    assert(!Number.isNaN(atMs), "an entry is scheduled for a time");
    this.cancel(entry);
    if (atMs === Number.POSITIVE_INFINITY) return;
    const tick = Math.max(this.#tick + 1, Math.ceil(atMs / TICK_MS));
    const slot = tick % SLOTS;
    const first = this.#slots[slot] ?? null;
    entry.wheelAtMs = atMs;
    entry.wheelSlot = slot;
    entry.wheelPrevious = null;
    entry.wheelNext = first;
    if (first !== null) first.wheelPrevious = entry;
    this.#slots[slot] = entry;
    this.#size += 1;
  }

  /** Takes the entry out. Harmless on one that is not scheduled. */
  cancel(entry: WheelEntry): void {
    const { wheelSlot: slot, wheelNext: next, wheelPrevious: previous } = entry;
    entry.wheelSlot = NOT_SCHEDULED;
    if (slot < 0) return;
    if (previous === null) this.#slots[slot] = next;
    else previous.wheelNext = next;
    if (next !== null) next.wheelPrevious = previous;
    entry.wheelNext = null;
    entry.wheelPrevious = null;
    this.#size -= 1;
  }

  /** Calls every entry that is due by `nowMs`, once. Not from within a call of the wheel. */
  advance(nowMs: number): void {
    const target = Math.floor(nowMs / TICK_MS);
    // After a long sleep every slot is visited once, not once a turn of the wheel.
    let tick = Math.max(this.#tick + 1, target - SLOTS + 1);
    for (; tick <= target; tick++) this.#collect(tick % SLOTS, target);
    this.#tick = Math.max(this.#tick, target);
    const due = this.#due;
    this.#due = [];
    for (const entry of due) {
      // Another one may have cancelled or moved it meanwhile.
      if (entry.wheelSlot !== DUE) continue;
      entry.wheelSlot = NOT_SCHEDULED;
      entry.wheelOnDue(nowMs);
    }
  }

  /** Takes out of one slot what is due by `target`. */
  #collect(slot: number, target: number): void {
    let entry = this.#slots[slot] ?? null;
    while (entry !== null) {
      const next: WheelEntry | null = entry.wheelNext;
      if (Math.ceil(entry.wheelAtMs / TICK_MS) <= target) {
        this.cancel(entry);
        entry.wheelSlot = DUE;
        this.#due.push(entry);
      }
      entry = next;
    }
  }
}
