import type { Clock } from "../core/clock.ts";
import type { Session } from "../mux/index.ts";
import type { HeadArena } from "./http1/index.ts";

/** Bytes the arena keeps between turns; a turn that needed more gives the rest back. */
const ARENA_KEEP_BYTES = 256 * 1024;

/** Up to this length a loop copies faster than a native call with a view of its own. */
const LOOP_COPY_MAX = 64;

/** Something that answers its client at the end of the turn, outside of any WebSocket handler. */
export interface TurnTask {
  turnRun(): void;
}

/**
 * The work that is gathered while one loop turn handles its socket events and done once at its end: answers to
 * clients, then one flush of every session that has something to send.
 *
 * uWS corks the WebSocket whose `message` handler runs, so an HTTP response written there goes out piece by piece; and
 * frames of many requests that share a turn cost one `send` when they leave together.
 */
export class Turn {
  /** Response heads and small bodies of this turn. Offsets are good until the turn ends. */
  readonly arena: Arena = new Arena();
  #scheduled = false;
  #tasks: TurnTask[] = [];
  #tasksSpare: TurnTask[] = [];
  #dirty: Session[] = [];
  #dirtySpare: Session[] = [];
  /** The session that `endAlone` flushes, if there is something to send. */
  #alone: Session | null = null;
  #isAloneDirty = false;
  readonly #run: () => void;
  readonly #clock: Clock;
  #now: number;
  #wallNow: number;
  /** `#now` and `#wallNow` are of this turn. */
  #timed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#now = clock.now();
    this.#wallNow = Date.now();
    this.#run = () => this.#runAll();
  }

  /**
   * Time of the turn, clock ms: when it was first asked for, and in the work at the end when that began. So many requests
   * share two looks at the clock, and a request that waited in its socket for others of the turn is counted as waiting.
   */
  get now(): number {
    if (!this.#timed) this.#readClocks();
    return this.#now;
  }

  /** The same, wall clock ms since the epoch. */
  get wallNow(): number {
    if (!this.#timed) this.#readClocks();
    return this.#wallNow;
  }

  #readClocks(): void {
    this.#timed = true;
    this.#now = this.#clock.now();
    this.#wallNow = Date.now();
    // The time is good until the turn ends: it has to end, whatever was the reason to ask.
    if (!this.#scheduled) this.#schedule();
  }

  /** Runs `task` once at the end of this turn. */
  addTask(task: TurnTask): void {
    this.#tasks.push(task);
    if (!this.#scheduled) this.#schedule();
  }

  /** Flushes `session` once at the end of this turn, or by {@link Turn.endAlone}. */
  addDirty(session: Session): void {
    if (session === this.#alone) {
      this.#isAloneDirty = true;
      return;
    }
    this.#dirty.push(session);
    if (!this.#scheduled) this.#schedule();
  }

  /**
   * From here to {@link Turn.endAlone} all that is done is for `session`, which is flushed then, while all that it needs is in the
   * processor's cache: what a timer has to send for each of many sessions shares a message with nothing. Not from a
   * WebSocket's handler.
   */
  beginAlone(session: Session): void {
    this.#alone = session;
    this.#isAloneDirty = false;
  }

  endAlone(): void {
    const session = this.#alone;
    this.#alone = null;
    if (this.#isAloneDirty) session?.flush();
  }

  #schedule(): void {
    this.#scheduled = true;
    setImmediate(this.#run);
  }

  #runAll(): void {
    this.#readClocks();
    this.#scheduled = false;
    const tasks = this.#tasks;
    this.#tasks = this.#tasksSpare;
    this.#tasksSpare = tasks;
    // A task may add tasks or dirty sessions: those of new tasks wait for the next turn, sessions leave with this one.
    for (const task of tasks) task.turnRun();
    tasks.length = 0;
    const dirty = this.#dirty;
    this.#dirty = this.#dirtySpare;
    this.#dirtySpare = dirty;
    for (const session of dirty) session.flush();
    dirty.length = 0;
    if (this.#tasks.length === 0) this.arena.clear();
    this.#timed = false;
  }
}

function copySmall(
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  length: number,
): void {
  for (let at = 0; at < length; at++) target[to + at] = source[from + at] as number;
}

/** Small pieces of the arena are handed out in these, by length: a view of the arena each time costs three times as much. */
const smallPieces: Uint8Array[] = Array.from(
  { length: LOOP_COPY_MAX + 1 },
  (_, length) => new Uint8Array(length),
);

/** A byte buffer that is filled during a turn and emptied at its end. */
export class Arena implements HeadArena {
  bytes: Uint8Array = new Uint8Array(ARENA_KEEP_BYTES);
  used = 0;

  reserve(n: number): void {
    const needed = this.used + n;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.used));
    this.bytes = grown;
  }

  /** Copies `chunk[start, end)` to the end. */
  append(chunk: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.reserve(length);
    const { bytes, used } = this;
    if (length <= LOOP_COPY_MAX) copySmall(chunk, start, bytes, used, length);
    else bytes.set(length === chunk.length ? chunk : chunk.subarray(start, end), used);
    this.used = used + length;
  }

  clear(): void {
    this.used = 0;
    if (this.bytes.length > ARENA_KEEP_BYTES) this.bytes = new Uint8Array(ARENA_KEEP_BYTES);
  }
}

/** Bytes of one writer that lie in the arena in one piece, [start, end), whatever others put there between. */
export class ArenaRun {
  start = 0;
  end = 0;

  get length(): number {
    return this.end - this.start;
  }

  /** Copies `chunk[start, end)` behind what is there already. */
  append(arena: Arena, chunk: Uint8Array, start: number, end: number): void {
    if (this.start === this.end) {
      this.start = arena.used;
    } else if (this.end !== arena.used) {
      // Somebody else's bytes lie behind ours: ours move to the end.
      const { bytes } = arena;
      const from = this.start;
      this.start = arena.used;
      arena.append(bytes, from, this.end);
    }
    arena.append(chunk, start, end);
    this.end = arena.used;
  }

  /** The bytes. Borrowed until the next call of any run, and no longer than the arena's turn. */
  view(arena: Arena): Uint8Array {
    const { start, end } = this;
    const piece = smallPieces[end - start];
    if (piece === undefined) return arena.bytes.subarray(start, end);
    copySmall(arena.bytes, start, piece, 0, end - start);
    return piece;
  }

  clear(): void {
    this.start = 0;
    this.end = 0;
  }
}
