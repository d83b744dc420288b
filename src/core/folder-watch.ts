import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";

/** How often files are looked at even if the system reports no change. */
export const POLL_INTERVAL_MS = 1_000;
/** A writer that does not replace a file at one stroke gets this long to finish. */
const SETTLE_MS = 50;

/** How {@link FolderWatch} works. */
export interface FolderWatchOptions {
  /** The folder whose changes call for a look: that of a file, since a rename puts another file in the place of the one watched. */
  readonly folder: string;
  /** Looks whether something has changed, and takes it over. Must not reject. */
  readonly look: () => Promise<void>;
  /** 0 never polls. */
  readonly pollIntervalMs: number;
  /** Is told where the system cannot watch; polling goes on. */
  readonly onTrouble: (error: unknown) => void;
}

/** Calls for a look at every change in a folder and once in a while, one look at a time. Keeps no process alive. */
export class FolderWatch {
  readonly #look: () => Promise<void>;
  #watcher: FSWatcher | null = null;
  #poll: NodeJS.Timeout | null = null;
  #settle: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;
  #isClosed = false;

  constructor({ folder, look, pollIntervalMs, onTrouble }: FolderWatchOptions) {
    this.#look = look;
    try {
      this.#watcher = watch(folder, { persistent: false }, () => this.#soon());
      this.#watcher.on("error", onTrouble);
    } catch (error) {
      onTrouble(error);
    }
    if (pollIntervalMs > 0) {
      this.#poll = setInterval(() => void this.refresh(), pollIntervalMs);
      this.#poll.unref();
    }
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Looks now; calls while a look is running wait for another one. Never rejects. */
  async refresh(): Promise<void> {
    while (this.#looking !== null) await this.#looking;
    this.#looking = this.#look();
    try {
      await this.#looking;
    } finally {
      this.#looking = null;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#watcher?.close();
    this.#watcher = null;
    if (this.#poll !== null) clearInterval(this.#poll);
    if (this.#settle !== null) clearTimeout(this.#settle);
    this.#poll = null;
    this.#settle = null;
  }

  #soon(): void {
    if (this.#isClosed || this.#settle !== null) return;
    this.#settle = setTimeout(() => {
      this.#settle = null;
      void this.refresh();
    }, SETTLE_MS);
    this.#settle.unref();
  }
}

/**
 * What tells one version of a file from another without reading it. Follows symbolic links.
 *
 * @throws what the system says where the file cannot be looked at
 */
export async function fileSignature(path: string): Promise<string> {
  const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return `${ino}.${size}.${mtimeNs}.${ctimeNs}`;
}
