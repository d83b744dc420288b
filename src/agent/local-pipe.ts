import type { Socket } from "node:net";
import type { AppError } from "../core/errors.ts";
import type { Stream, StreamHandler } from "../mux/index.ts";
import { type LocalAddress, openSocket, resetSocket } from "./local-socket.ts";
import { codeOf } from "./tunnel-end.ts";

/** What a pipe tells its owner. */
export interface PipeOwner {
  /** The bytes that the session is decoding now; a chunk that is this very object is never written again. */
  readonly decoding: Uint8Array | null;
  /** The local service did not take the connection; the stream is reset. */
  pipeOnRefused(pipe: LocalPipe, code: string): void;
  /** The local connection broke; the stream is reset once {@link LocalPipe.resetWhenSent} finds nothing to send. */
  pipeOnBroken(pipe: LocalPipe, code: string): void;
  /** The local service has taken the connection, and the stream is accepted. */
  pipeOnConnect(pipe: LocalPipe): void;
  /** The pipe is done; exactly once. */
  pipeOnClose(pipe: LocalPipe): void;
}

/** BROKEN: there is no local connection any more, and what was read from it is still on its way. */
const State = { CONNECTING: 0, OPEN: 1, BROKEN: 2, CLOSED: 3 } as const;
type State = (typeof State)[keyof typeof State];

/**
 * One inbound stream and one connection to the local service, byte for byte, with nothing between them.
 *
 * ```
 *   relay --Data--> streamOnData  --> socket.write     credit goes back when the kernel has taken the bytes
 *         --FIN---> streamOnEnd   --> socket.end
 *         <-Data--- stream.write  <-- 'data'           the socket is paused while write() says false
 *         <-FIN---- stream.end    <-- 'end'
 *         <-RST---> stream.reset / streamOnClose <--> 'error' / RST
 * ```
 *
 * The stream is accepted when the local connection is up, and reset when it does not come up.
 *
 * A service may answer early and close without having read the whole request. Its kernel then resets the connection,
 * and our next write fails while the answer waits to be read. From that write on the request is dropped, with its
 * credit given back, and the answer is read to its end.
 */
export class LocalPipe implements StreamHandler {
  readonly stream: Stream;
  /** When the connection was begun, in milliseconds of the owner's clock. */
  readonly startedAt: number;
  readonly #socket: Socket;
  readonly #owner: PipeOwner;
  #state: State = State.CONNECTING;
  /** Bytes handed to the socket, and of these the bytes given back as credit. */
  #handedBytes = 0;
  #creditedBytes = 0;
  /** The local service has sent FIN. */
  #localEnded = false;
  /** The local service has sent bytes. */
  #localSpoke = false;
  /** Code of the write that found the connection reset, "" before. */
  #resetCode = "";
  readonly #onWritten: () => void;

  constructor(stream: Stream, address: LocalAddress, owner: PipeOwner, now: number) {
    this.stream = stream;
    this.startedAt = now;
    this.#owner = owner;
    this.#onWritten = () => this.#credit();
    // Not accepted yet, but a reset by the relay is to end the connection attempt at once.
    stream.handler = this;
    const socket = openSocket(address, (code) => this.#reset(code));
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.once(address.tls ? "secureConnect" : "connect", () => this.#connected());
    socket.on("data", (chunk) => this.#data(chunk));
    socket.once("end", () => this.#end());
    socket.on("error", (error) => this.#broken(codeOf(error, "ERR_SOCKET")));
    socket.once("close", () => this.#broken("ERR_SOCKET_CLOSED"));
  }

  /** The connection is not up in time: resets the stream. */
  fail(code: string): void {
    this.#broken(code);
  }

  streamOnData(stream: Stream, chunk: Uint8Array, start: number, end: number): void {
    if (!this.#socket.writable || this.#resetCode !== "") {
      // The service has answered and gone; what is still under way to it has no reader any more.
      stream.consume(end - start);
      return;
    }
    const slice = chunk.subarray(start, end);
    const owned = chunk === this.#owner.decoding ? slice : Buffer.from(slice);
    this.#handedBytes += owned.length;
    this.#socket.write(owned, this.#onWritten);
    this.#credit();
  }

  streamOnEnd(_stream: Stream): void {
    this.#socket.end();
  }

  streamOnWritable(_stream: Stream): void {
    if (this.#state === State.BROKEN) this.resetWhenSent();
    else this.#socket.resume();
  }

  streamOnClose(_stream: Stream, error: AppError | null): void {
    if (this.#state === State.CLOSED) return;
    if (error === null) {
      // Both sides have ended: what is in the socket's queue is still written.
      this.#close();
      if (!this.#socket.destroyed) this.#socket.end();
      return;
    }
    this.#cut();
    this.#close();
  }

  #connected(): void {
    if (this.#state !== State.CONNECTING) return;
    this.#state = State.OPEN;
    this.#owner.pipeOnConnect(this);
    this.stream.accept(this);
  }

  #data(chunk: Buffer): void {
    if (this.#state !== State.OPEN || this.stream.closed) return;
    this.#localSpoke = true;
    if (!this.stream.write(chunk)) this.#socket.pause();
  }

  #end(): void {
    if (this.#resetCode !== "" && !(this.#resetCode === "EPIPE" && this.#localSpoke)) {
      // The end of what was left to read behind a reset; the service never said that it was all.
      this.#broken(this.#resetCode);
      return;
    }
    this.#localEnded = true;
    if (this.#state === State.OPEN && !this.stream.closed) this.stream.end();
    if (this.#resetCode !== "") this.#socket.destroy();
  }

  /** A write found the connection reset. What the service has said before is still to be read. */
  #reset(code: string): void {
    this.#resetCode = code;
    if (!this.stream.closed) this.#creditAll();
    if (this.#localEnded) this.#socket.destroy();
  }

  /** Credit for what the kernel has taken: what was handed over, less what still waits in the socket. */
  #credit(): void {
    if (this.stream.closed) return;
    const taken = this.#handedBytes - this.#socket.writableLength - this.#creditedBytes;
    if (taken <= 0) return;
    this.#creditedBytes += taken;
    this.stream.consume(taken);
  }

  #broken(code: string): void {
    if (this.#state === State.BROKEN || this.#state === State.CLOSED) return;
    if (!this.stream.closed) this.#creditAll();
    // An answer that is complete must not be lost with the connection: its last bytes and the FIN may still wait for
    // credit. The stream ends when the relay ends or resets it.
    if (this.#localEnded && !this.stream.closed) return;
    const wasConnecting = this.#state === State.CONNECTING;
    this.#cut();
    this.#state = State.BROKEN;
    if (wasConnecting) this.#owner.pipeOnRefused(this, code);
    else this.#owner.pipeOnBroken(this, code);
    this.resetWhenSent();
  }

  /** Resets the stream of a broken pipe, if all that was read has left: the RST would overtake the rest. */
  resetWhenSent(): void {
    if (this.#state !== State.BROKEN) return;
    this.stream.session.flush();
    if (this.#state !== State.BROKEN || this.stream.queuedBytes > 0) return;
    this.stream.reset();
    this.#close();
  }

  /** Nobody will take what the socket still holds. */
  #creditAll(): void {
    const lost = this.#handedBytes - this.#creditedBytes;
    this.#creditedBytes = this.#handedBytes;
    if (lost > 0) this.stream.consume(lost);
  }

  /** Ends the local connection as abruptly as the stream was. */
  #cut(): void {
    if (this.#socket.destroyed) return;
    if (this.#state === State.OPEN && !("encrypted" in this.#socket)) {
      resetSocket(this.#socket);
    } else {
      this.#socket.destroy();
    }
  }

  #close(): void {
    this.#state = State.CLOSED;
    this.#owner.pipeOnClose(this);
  }
}
