import { EventEmitter } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Logger } from "pino";
import { ConfigError } from "../../core/errors.ts";
import { FolderWatch, fileSignature, POLL_INTERVAL_MS } from "../../core/folder-watch.ts";

/** A place on disk that something is read from. */
export interface Source<T> {
  /** For log lines: `destinations`. */
  readonly what: string;
  readonly path: string;
  /** The folder that is watched. */
  readonly folder: string;
  /** Tells one version from another. Rejects where it cannot be looked at. */
  signature(): Promise<string>;
  /** @throws ConfigError with every problem */
  read(): T;
}

/** What a {@link Watched} tells those who listen. */
export interface WatchedEvents {
  /** A change was read and is in force. */
  reloaded: [];
  /** A change cannot be used; what was there before stays in force. */
  rejected: [error: unknown];
}

/** How a {@link Watched} watches; for tests above all. */
export interface WatchedOptions {
  /** How often it looks even if the system reports no change; default 1,000 ms. 0 never. */
  readonly pollIntervalMs?: number;
}

const PROBLEMS_LOGGED_MAX = 100;

/**
 * What was read from a place on disk, read again when that changes, whether it is written in place or replaced by a
 * rename. A change that cannot be used is logged with all its problems, and what was there before stays in force.
 */
export class Watched<T> extends EventEmitter<WatchedEvents> {
  readonly #source: Source<T>;
  readonly #logger: Logger;
  #value: T;
  #signature = "";
  #watch: FolderWatch | null = null;

  private constructor(source: Source<T>, logger: Logger, value: T) {
    super();
    this.#source = source;
    this.#logger = logger;
    this.#value = value;
  }

  /**
   * Reads the place and begins to watch it.
   *
   * @throws ConfigError with every problem of it
   */
  static async open<T>(
    source: Source<T>,
    logger: Logger,
    { pollIntervalMs = POLL_INTERVAL_MS }: WatchedOptions = {},
  ): Promise<Watched<T>> {
    // Where it cannot be looked at, reading tells why.
    const signature = await source.signature().catch(() => "missing");
    const watched = new Watched(source, logger, source.read());
    watched.#signature = signature;
    watched.#watch = new FolderWatch({
      folder: source.folder,
      look: () => watched.#look(),
      pollIntervalMs,
      onTrouble: (error) => {
        logger.warn({ err: error, path: source.path }, "cannot watch; polling goes on");
      },
    });
    return watched;
  }

  /** What is in force. */
  get value(): T {
    return this.#value;
  }

  /** Looks now whether there is a change. Never rejects. */
  async refresh(): Promise<void> {
    await this.#watch?.refresh();
  }

  /** Ends the watch; what was read stays in force. */
  close(): void {
    this.#watch?.close();
  }

  async #look(): Promise<void> {
    const { what, path } = this.#source;
    const signature = await this.#source.signature().catch(() => "missing");
    if (signature === this.#signature || this.#watch?.isClosed === true) return;
    this.#signature = signature;
    try {
      this.#value = this.#source.read();
    } catch (error) {
      const problems = error instanceof ConfigError ? error.problems : [];
      const shown = problems.slice(0, PROBLEMS_LOGGED_MAX);
      this.#logger.error(
        { path, problems: shown, count: problems.length },
        `${what} cannot be used; those from before stay in force`,
      );
      this.emit("rejected", error);
      return;
    }
    this.#logger.info({ path }, `${what} read again`);
    this.emit("reloaded");
  }
}

/** Bytes of a file that people write. */
const FILE_BYTES_MAX = 1_048_576;

/**
 * The text of a file.
 *
 * @throws ConfigError where it cannot be read or is over 1 MiB
 */
export function readText(path: string): string {
  try {
    if (statSync(path).size > FILE_BYTES_MAX) {
      throw Object.assign(new Error(), { code: "over 1 MiB" });
    }
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError([{ setting: path, problem: `cannot be read (${systemCode(error)})` }]);
  }
}

/** `ENOENT` or the like. */
export function systemCode(error: unknown): string {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "unknown reason";
}

/** One file, as `parse` understands its text. */
export function fileSource<T>(
  what: string,
  path: string,
  parse: (text: string, source: string) => T,
): Source<T> {
  return {
    what,
    path,
    folder: dirname(path),
    signature: () => fileSignature(path),
    read: () => parse(readText(path), path),
  };
}
