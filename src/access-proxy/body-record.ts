import { randomUUID } from "node:crypto";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { join } from "node:path";

export interface BodyRecordOptions {
  /** Bytes kept in memory; 0 for no limit. */
  readonly fileThres: number;
  /** Bytes kept in a temporary file beyond those; 0 for no limit. */
  readonly fileMax: number;
  /** Folder of temporary files. */
  readonly folder: string;
}

const READ_BYTES = 65_536;

/**
 * A copy of what has been read of a request's body, so that it can be sent once more: in memory first, then in a file that has no
 * name any more once it is open.
 *
 * @see TA cooperation, section 4.8
 */
export class BodyRecord {
  readonly #options: BodyRecordOptions;
  #memory: Buffer[] = [];
  #memoryBytes = 0;
  #file: FileHandle | null = null;
  #fileBytes = 0;
  /** The path of the file where the system did not let go of its name; else null. */
  #name: string | null = null;
  #writes: Promise<void> = Promise.resolve();
  #isComplete = true;
  #fault: unknown = undefined;
  #isClosed = false;

  constructor(options: BodyRecordOptions) {
    this.#options = options;
  }

  /** Whether all that was added can be read again. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** What kept the temporary file from taking its part; undefined where nothing did. */
  get fault(): unknown {
    return this.#fault;
  }

  /**
   * Adds what was read; the bytes stay the caller's.
   *
   * @returns null, or what settles when the file has taken them: whoever reads on before that fills memory. Never rejects
   */
  add(chunk: Uint8Array): Promise<void> | null {
    if (!this.#isComplete || this.#isClosed) return null;
    const { fileThres, fileMax } = this.#options;
    const room = fileThres === 0 ? chunk.length : fileThres - this.#memoryBytes;
    const toMemory = Math.min(room, chunk.length);
    const toFile = chunk.length - toMemory;
    if (fileMax !== 0 && this.#fileBytes + toFile > fileMax) {
      this.#giveUp();
      return null;
    }
    if (toMemory > 0) {
      this.#memory.push(Buffer.from(chunk.subarray(0, toMemory)));
      this.#memoryBytes += toMemory;
    }
    if (toFile === 0) return null;
    this.#fileBytes += toFile;
    const rest = Buffer.from(chunk.subarray(toMemory));
    this.#writes = this.#writes
      .then(() => this.#write(rest))
      .catch((error) => {
        this.#fault ??= error;
        this.#giveUp();
      });
    return this.#writes;
  }

  /** Waits until the file has taken, or refused, what was added. */
  async settled(): Promise<void> {
    await this.#writes;
  }

  /** All that was added, in its order. For a record that is settled and complete, after the last `add`. */
  async *read(): AsyncGenerator<Buffer> {
    yield* this.#memory;
    for (let at = 0; this.#file !== null && at < this.#fileBytes; ) {
      const length = Math.min(READ_BYTES, this.#fileBytes - at);
      const { bytesRead, buffer } = await this.#file.read(Buffer.alloc(length), 0, length, at);
      if (bytesRead === 0) throw new Error("the temporary file is shorter than what was written");
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** Lets go of memory and file; may be called more than once. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#memory = [];
    await this.#writes;
    const file = this.#file;
    const name = this.#name;
    this.#file = null;
    this.#name = null;
    await file?.close().catch(() => undefined);
    if (name !== null) await unlink(name).catch(() => undefined);
  }

  #giveUp(): void {
    this.#isComplete = false;
    this.#memory = [];
    void this.close();
  }

  async #write(bytes: Buffer): Promise<void> {
    if (this.#isClosed) return;
    if (this.#file === null) {
      const name = join(this.#options.folder, `hawser-body-${randomUUID()}`);
      this.#file = await open(name, "wx+", 0o600);
      // Windows keeps the name as long as the file is open.
      await unlink(name).catch(() => {
        this.#name = name;
      });
    }
    await this.#file.appendFile(bytes);
  }
}
