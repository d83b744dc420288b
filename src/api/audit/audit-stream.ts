import type { EventEmitter } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import type { Writable } from "node:stream";
import type { Logger } from "pino";
import { ConfigError } from "../../core/errors.ts";
import { processTimers, type Timers } from "../timers.ts";

/** Where lines of the audit log go. Nothing here throws, and nothing waits for the disk. */
export interface AuditStream {
  /** Takes one line, its line feed included. */
  write(line: string): void;
  /** Opens the file anew, which a rotation has moved away. Lines that were taken before are in the old one or the new. */
  reopen(): void;
  /** Writes what can be written, and closes. */
  close(): Promise<void>;
}

/** How {@link openAuditStream} opens. */
export interface AuditStreamOptions {
  readonly logger: Logger;
  /** How the error names the setting that the path is from. */
  readonly setting?: string;
  /** Bytes that wait for a file that cannot be written. What comes then is dropped, and counted. */
  readonly waitingBytesMax?: number;
  readonly timers?: Timers;
  /** Tells of the signal at which the file is opened anew; the process by default. */
  readonly signals?: Pick<EventEmitter, "on" | "off">;
}

const WAITING_BYTES_MAX = 8 << 20;
const RETRY_MS = 1_000;
const LINE_FEED = 0x0a;

/**
 * Opens the stream of audit lines. The file is made with mode 0600 where it is missing, is only ever added to, and is
 * opened anew at SIGHUP.
 *
 * @param target path of a file; a stream such as standard output, which is never closed here; null for no lines
 * @throws ConfigError where the file cannot be opened. A file that fails later is tried again each second.
 */
export async function openAuditStream(
  target: string | Writable | null,
  options: AuditStreamOptions,
): Promise<AuditStream | null> {
  if (target === null) return null;
  if (typeof target !== "string") return new PipeStream(target, options);
  const { setting = "auditLog", signals = process } = options;
  try {
    const stream = new FileStream(target, await openFile(target), options);
    const onHangup = (): void => stream.reopen();
    signals.on("SIGHUP", onHangup);
    stream.onClose = () => signals.off("SIGHUP", onHangup);
    return stream;
  } catch (error) {
    throw new ConfigError([{ setting, problem: `the file cannot be opened (${codeOf(error)})` }]);
  }
}

/** Lines on a stream that somebody else owns, which is never closed here. */
class PipeStream implements AuditStream {
  readonly #target: Writable;
  readonly #logger: Logger;
  readonly #waitingBytesMax: number;
  #dropped = 0;

  constructor(target: Writable, options: Pick<AuditStreamOptions, "logger" | "waitingBytesMax">) {
    this.#target = target;
    this.#logger = options.logger;
    this.#waitingBytesMax = options.waitingBytesMax ?? WAITING_BYTES_MAX;
    // A reader that leaves is no reason for the process to end.
    target.on("error", () => {});
  }

  write(line: string): void {
    const fits = this.#target.writableLength + Buffer.byteLength(line) <= this.#waitingBytesMax;
    if (this.#target.writable && fits) {
      this.#target.write(line);
      if (this.#dropped > 0) {
        this.#logger.warn({ dropped: this.#dropped }, "audit lines are taken again");
      }
      this.#dropped = 0;
      return;
    }
    this.#dropped += 1;
    if (this.#dropped === 1) this.#logger.error({}, "audit lines are dropped: nobody takes them");
  }

  reopen(): void {}

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#target.writable) this.#target.write("", () => resolve());
      else resolve();
    });
  }
}

/** Lines at the end of a file, written one batch after the other. */
class FileStream implements AuditStream {
  onClose: () => void = () => {};
  readonly #path: string;
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #waitingBytesMax: number;
  #file: FileHandle | null;
  /** Lines that came while a batch is written. */
  #waiting: string[] = [];
  #waitingBytes = 0;
  /** What is being written, and how far it is. */
  #batch: Buffer = Buffer.alloc(0);
  #written = 0;
  #running: Promise<void> | null = null;
  #cancelRetry: (() => void) | null = null;
  #wantsReopen = false;
  #failed = false;
  #dropped = 0;
  #closed = false;

  constructor(path: string, file: FileHandle, options: AuditStreamOptions) {
    this.#path = path;
    this.#file = file;
    this.#logger = options.logger;
    this.#timers = options.timers ?? processTimers;
    this.#waitingBytesMax = options.waitingBytesMax ?? WAITING_BYTES_MAX;
  }

  write(line: string): void {
    if (this.#closed) return;
    const bytes = Buffer.byteLength(line);
    if (this.#waitingBytes + bytes > this.#waitingBytesMax) {
      this.#drop();
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += bytes;
    if (this.#cancelRetry === null) this.#start();
  }

  reopen(): void {
    this.#wantsReopen = true;
    this.#start();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.onClose();
    this.#start();
    await this.#running;
    this.#closed = true;
    this.#cancelRetry?.();
    await this.#file?.close().catch(() => {});
    this.#file = null;
    if (this.#hasWork())
      this.#logger.error({}, "audit lines are lost: their file cannot be written");
  }

  #drop(): void {
    this.#dropped += 1;
    if (this.#dropped > 1) return;
    this.#logger.error({}, "audit lines are dropped: their file cannot be written");
  }

  #start(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    if (this.#running === null && this.#hasWork()) this.#running = this.#run();
  }

  async #run(): Promise<void> {
    try {
      while (this.#hasWork()) await this.#step();
      if (this.#failed) this.#recovered();
    } catch (error) {
      this.#failing(error);
    } finally {
      // In the same moment as the last look at what waits, so that nothing can come in between and lie.
      this.#running = null;
    }
  }

  #hasWork(): boolean {
    return this.#wantsReopen || this.#written < this.#batch.length || this.#waiting.length > 0;
  }

  async #step(): Promise<void> {
    if (this.#wantsReopen || this.#file === null) await this.#openAnew();
    if (this.#written >= this.#batch.length) {
      this.#batch = Buffer.from(this.#waiting.join(""));
      this.#waiting = [];
      this.#waitingBytes = 0;
      this.#written = 0;
    }
    if (this.#batch.length === 0) return;
    const left = this.#batch.length - this.#written;
    const { bytesWritten } = await (this.#file as FileHandle).write(
      this.#batch,
      this.#written,
      left,
    );
    this.#written += bytesWritten;
  }

  async #openAnew(): Promise<void> {
    this.#wantsReopen = false;
    const old = this.#file;
    this.#file = null;
    await old?.close().catch(() => {});
    this.#file = await openFile(this.#path);
    // A line that was cut by the change is written again as a whole.
    if (this.#written > 0 && this.#written < this.#batch.length) {
      this.#written = this.#batch.lastIndexOf(LINE_FEED, this.#written - 1) + 1;
    }
  }

  #failing(error: unknown): void {
    if (!this.#failed) {
      this.#logger.error({ code: codeOf(error) }, "the file of audit lines cannot be written");
    }
    this.#failed = true;
    if (this.#closed) return;
    this.#cancelRetry = this.#timers.after(RETRY_MS, () => this.#start());
  }

  #recovered(): void {
    this.#failed = false;
    this.#logger.warn({ dropped: this.#dropped }, "the file of audit lines is written again");
    this.#dropped = 0;
  }
}

function openFile(path: string): Promise<FileHandle> {
  return open(path, "a", 0o600);
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
