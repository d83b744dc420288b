import type { WebSocket } from "ws";
import { monotonicClock } from "../../src/core/clock.ts";
import type { AppError } from "../../src/core/errors.ts";
import {
  type MuxOptions,
  MuxPools,
  muxOptions,
  type Role,
  SendResult,
  Session,
  type SessionHandler,
  type Stream,
  type Transport,
} from "../../src/mux/index.ts";
import type { Prng } from "./mux/prng.ts";
import { Changes } from "./until.ts";

const TICK_MS = 20;

/** A session of ours over a `ws` socket of a server, with nothing of the relay around it. */
export class WsSession implements SessionHandler {
  readonly session: Session;
  /** Resolves with the reason when the session is over. */
  readonly ended: Promise<AppError>;
  /** Resolves with the code of the peer's GoAway. */
  readonly goneAway: Promise<number>;
  protected readonly socket: WebSocket;
  readonly #changes = new Changes();
  readonly #ticker: NodeJS.Timeout;
  #resolveEnded: (error: AppError) => void = () => {};
  #resolveGoneAway: (code: number) => void = () => {};

  /** @param shredder cuts what is sent into random messages and fragments */
  constructor(
    role: Role,
    options: Partial<MuxOptions>,
    socket: WebSocket,
    shredder: Prng | null = null,
  ) {
    this.socket = socket;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.goneAway = new Promise((resolve) => {
      this.#resolveGoneAway = resolve;
    });
    const transport = new WsTransport(socket, shredder, () => {
      this.session.transportDrained();
      this.#changes.tell();
    });
    const pools = new MuxPools();
    this.session = new Session(role, muxOptions(options), transport, this, monotonicClock, pools);
    socket.on("message", (data: Buffer, isBinary: boolean) => {
      if (isBinary) this.session.receive(data);
      else this.session.receiveText();
      this.#changes.tell();
    });
    socket.on("error", () => {});
    socket.on("close", (code: number) => this.session.transportClosed(code));
    this.session.tick();
    this.#ticker = setInterval(() => {
      this.session.tick();
      this.#changes.tell();
    }, TICK_MS);
  }

  /** Resolves when no stream is left in the table. */
  empty(): Promise<void> {
    return this.#changes.until(() => this.session.streamCount === 0, "the end of the last stream");
  }

  sessionOnDirty(session: Session): void {
    setImmediate(() => {
      session.flush();
      this.#changes.tell();
    });
  }

  sessionOnStream(_session: Session, stream: Stream): void {
    stream.reset();
  }

  sessionOnGoAway(_session: Session, code: number): void {
    this.#resolveGoneAway(code);
  }

  sessionOnClose(_session: Session, error: AppError): void {
    clearInterval(this.#ticker);
    this.#resolveEnded(error);
  }
}

/** The transport of a test: `ws` copies nothing of what a server sends, so borrowed bytes are copied here. */
class WsTransport implements Transport {
  readonly #socket: WebSocket;
  readonly #shredder: Prng | null;
  readonly #onDrain: () => void;
  #buffered = false;

  constructor(socket: WebSocket, shredder: Prng | null, onDrain: () => void) {
    this.#socket = socket;
    this.#shredder = shredder;
    this.#onDrain = onDrain;
  }

  send(message: Uint8Array): SendResult {
    return this.#sendOwned(Buffer.from(message));
  }

  sendParts(header: Uint8Array, payload: Uint8Array): SendResult {
    return this.#sendOwned(Buffer.concat([header, payload]));
  }

  bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #sendOwned(message: Buffer): SendResult {
    // The close that follows says why.
    if (this.#socket.readyState !== this.#socket.OPEN) return SendResult.SENT;
    const rest = this.#shredder === null ? message : this.#shred(message, this.#shredder);
    this.#socket.send(rest, { binary: true, fin: true }, (error) => {
      if (error != null || !this.#buffered || this.#socket.bufferedAmount > 0) return;
      this.#buffered = false;
      this.#onDrain();
    });
    if (this.#socket.bufferedAmount === 0) return SendResult.SENT;
    this.#buffered = true;
    return SendResult.BUFFERED;
  }

  /** Sends all but the last piece of a message, as messages and fragments of random lengths. */
  #shred(message: Buffer, prng: Prng): Buffer {
    let at = 0;
    while (message.length - at > 1) {
      const longest = prng.oneIn(3) ? 20 : 60_000;
      const piece = prng.between(1, Math.min(longest, message.length - at - 1));
      this.#socket.send(message.subarray(at, at + piece), { binary: true, fin: prng.oneIn(2) });
      at += piece;
    }
    return message.subarray(at);
  }
}
