import { type DestinationStream, pino } from "pino";

/** Log lines that may wait in memory while their reader is slow; more are dropped. */
const LOG_BYTES_MAX = 16_777_216;

/**
 * Lines leave together once they have so many bytes, or have waited so long: each write wakes another thread, which took a
 * tenth of the API server's time when every line was one.
 */
const BLOCK_BYTES = 65_536;
const WAIT_MS = 50;

/** What sonic-boom takes where its content is bytes; its declarations know text alone. */
interface ByteDestination {
  write(lines: Uint8Array): boolean;
}

/** Standard output for log lines: text, as pino writes them, or whole blocks of bytes, as the access log does. */
export class LogDestination implements DestinationStream {
  readonly #out = pino.destination({
    dest: 1,
    sync: false,
    maxLength: LOG_BYTES_MAX,
    minLength: BLOCK_BYTES,
    maxWrite: 2 * BLOCK_BYTES,
    periodicFlush: WAIT_MS,
    contentMode: "buffer",
  });
  readonly #ended: Promise<void>;

  constructor() {
    this.#ended = new Promise((resolve) => {
      this.#out.on("close", resolve).on("error", () => resolve());
    });
  }

  write(lines: string | Uint8Array): void {
    const bytes = typeof lines === "string" ? Buffer.from(lines, "utf8") : lines;
    (this.#out as unknown as ByteDestination).write(bytes);
  }

  /** Writes out what waits. Whoever read the log may have left: that is an end, too. */
  end(): Promise<void> {
    this.#out.end();
    return this.#ended;
  }
}
