import type { Logger } from "pino";
import { Backoff } from "../../core/backoff.ts";
import type { AuditEntry, AuditLog } from "../context.ts";
import {
  AUDIT_BATCH_MAX,
  appendAuditEvents,
  type NewAuditRow,
  type Store,
} from "../store/index.ts";
import { processTimers, type Timers } from "../timers.ts";
import type { AuditStream } from "./audit-stream.ts";
import { keptOf, lineOf } from "./kept-event.ts";

/** What a {@link DatabaseAuditLog} works with. */
export interface AuditLogDeps {
  readonly store: Store;
  /** Null where no lines are wanted. It is closed with the log. */
  readonly stream: AuditStream | null;
  readonly logger: Logger;
  /** Milliseconds since 1970 in UTC. */
  readonly now: () => number;
  readonly timers?: Timers;
  readonly limits?: AuditLogLimits;
}

export interface AuditLogLimits {
  /** Events that wait for the database; of those that concern no tenant half as many. */
  readonly waitingMax: number;
}

const LIMITS: AuditLogLimits = { waitingMax: 20_000 };
/** Events of one moment become one statement, and so one write to the disk. */
const GATHER_MS = 20;
const RETRY_BASE_MS = 500;
const RETRY_CAP_MS = 15_000;
/** How often {@link DatabaseAuditLog.close} tries. */
const CLOSE_ATTEMPTS = 3;

/**
 * Writes events to the database and as lines to a stream. The line is written at once. The row waits in a queue, and is
 * stored in the background, in order; while the database is away it is tried again and again. Where the queue is full the
 * row is counted, logged and left out, and the line is what remains of it.
 */
export class DatabaseAuditLog implements AuditLog {
  readonly #deps: AuditLogDeps;
  readonly #timers: Timers;
  readonly #limits: AuditLogLimits;
  readonly #backoff = new Backoff({ baseMs: RETRY_BASE_MS, capMs: RETRY_CAP_MS });
  readonly #waiting: NewAuditRow[] = [];
  #writing: Promise<boolean> | null = null;
  #cancelTimer: (() => void) | null = null;
  #dropped = 0;
  #stored = 0;
  /** Until the next try after one that failed. */
  #retryMs = 0;
  #closed: Promise<void> | null = null;

  constructor(deps: AuditLogDeps) {
    this.#deps = deps;
    this.#timers = deps.timers ?? processTimers;
    this.#limits = deps.limits ?? LIMITS;
  }

  /** Events that are not stored yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Events that were left out because the queue was full. */
  get dropped(): number {
    return this.#dropped;
  }

  record(entry: AuditEntry): void {
    const row = this.#write(entry);
    if (row === null) return;
    // Whoever has no account must not be able to push out what concerns those who have one.
    const share = row.tenant === null ? 0.5 : 1;
    if (this.#closed !== null || this.#waiting.length >= this.#limits.waitingMax * share) {
      this.#drop(row);
      return;
    }
    this.#waiting.push(row);
    if (this.#writing === null) this.#later(GATHER_MS);
  }

  tell(entry: AuditEntry): void {
    this.#write(entry);
  }

  /**
   * Stores what waits at this moment, without waiting for the next try. False where the database does not take it now; then
   * it goes on being tried. Never rejects.
   */
  async flush(): Promise<boolean> {
    const target = this.#stored + this.#waiting.length;
    while (this.#stored < target && this.#waiting.length > 0) {
      if (!(await this.#start())) return false;
    }
    return true;
  }

  /** Stores what waits, with a few attempts where the database is away, and closes the stream. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (let attempt = 1; attempt < CLOSE_ATTEMPTS && !(await this.flush()); attempt++);
    await this.flush();
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    for (const row of this.#waiting.splice(0)) this.#drop(row);
    await this.#deps.stream?.close();
  }

  #write(entry: AuditEntry): NewAuditRow | null {
    try {
      const row = keptOf(entry, this.#deps.now());
      this.#deps.stream?.write(lineOf(row));
      return row;
    } catch (error) {
      this.#deps.logger.error({ event: entry.event, type: nameOf(error) }, "audit event failed");
      return null;
    }
  }

  #drop({ event }: NewAuditRow): void {
    this.#dropped += 1;
    const fields = { event: event.event, request_id: event.requestId, dropped: this.#dropped };
    this.#deps.logger.error(fields, "audit event is not stored: too many wait for the database");
  }

  #later(delayMs: number): void {
    this.#cancelTimer ??= this.#timers.after(delayMs, () => void this.#start());
  }

  #start(): Promise<boolean> {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#writing ??= this.#run().finally(() => {
      this.#writing = null;
      if (this.#waiting.length > 0) this.#later(this.#backoff.attempts > 0 ? this.#retryMs : 0);
    });
    return this.#writing;
  }

  /** Stores the first batch. Whether the database took it. */
  async #run(): Promise<boolean> {
    const rows = this.#waiting.slice(0, AUDIT_BATCH_MAX);
    try {
      await appendAuditEvents(this.#deps.store, rows);
    } catch (error) {
      this.#retryMs = RETRY_BASE_MS + this.#backoff.next();
      const fields = { type: nameOf(error), code: codeOf(error), waiting: this.#waiting.length };
      this.#deps.logger.error(fields, "audit events cannot be stored now");
      return false;
    }
    this.#waiting.splice(0, rows.length);
    this.#stored += rows.length;
    this.#backoff.reset();
    return true;
  }
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
