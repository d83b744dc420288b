import { type DestinationStream, pino } from "pino";

/** Log lines that may wait in memory while their reader is slow; more are dropped. */
const LOG_BYTES_MAX = 16_777_216;

/**
 * Lines leave together once they have so many bytes, or have waited so long: each write wakes another thread, which took a
 * tenth of the API server's time when every line was one.
 */
const BLOCK_BYTES = 65_536;
const WAIT_MS = 40;
/** Lines of text become bytes together, once they have so many characters or the turn of a timer has come. */
const TEXT_CHARACTERS = 8_192;
const TEXT_WAIT_MS = 10;

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
    contentMode: "buffer",
  });
  readonly #ended: Promise<void>;
  /** Bytes given to it that are not written yet. */
  #waitingBytes = 0;
  /** Runs only while bytes wait: a destination at rest wakes nobody. */
  #blockTimer: NodeJS.Timeout | null = null;
  #text = "";
  #timer: NodeJS.Timeout | null = null;
  #isEnded = false;

  constructor() {
    this.#ended = new Promise((resolve) => {
      this.#out.on("close", resolve).on("error", () => resolve());
    });
    this.#out.on("write", (bytes: number) => {
      this.#waitingBytes -= bytes;
    });
    this.#out.on("drop", (lines: Uint8Array) => {
      this.#waitingBytes -= lines.length;
    });
    // Before the same of what it writes to.
    process.prependListener("exit", this.#flushText);
  }

  write(lines: string | Uint8Array): void {
    if (this.#isEnded) return;
    if (typeof lines === "string") {
      this.#text += lines;
      if (this.#text.length >= TEXT_CHARACTERS) this.#flushText();
      else this.#timer ??= setTimeout(this.#flushText, TEXT_WAIT_MS);
      return;
    }
    // In the order in which they came.
    this.#flushText();
    this.#writeBytes(lines);
  }

  readonly #flushText = (): void => {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const text = this.#text;
    this.#text = "";
    if (text !== "") this.#writeBytes(Buffer.from(text, "utf8"));
  };

  #writeBytes(bytes: Uint8Array): void {
    this.#waitingBytes += bytes.length;
    this.#blockTimer ??= setTimeout(this.#flushBlock, WAIT_MS).unref();
    (this.#out as unknown as ByteDestination).write(bytes);
  }

  /** While a write is under way it begins no other: what waits has another turn. */
  readonly #flushBlock = (): void => {
    this.#blockTimer = null;
    if (this.#isEnded || this.#waitingBytes === 0) return;
    this.#out.flush();
    this.#blockTimer = setTimeout(this.#flushBlock, WAIT_MS).unref();
  };

  /** Writes out what waits. Whoever read the log may have left: that is an end, too. */
  end(): Promise<void> {
    this.#flushText();
    this.#isEnded = true;
    process.off("exit", this.#flushText);
    this.#out.end();
    return this.#ended;
  }
}
