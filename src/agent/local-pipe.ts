import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { AppError } from "../core/errors.ts";
import type { Stream, StreamHandler } from "../mux/index.ts";
import type { TargetSettings } from "./options.ts";
import { codeOf } from "./tunnel-end.ts";

/** The address form of a target. */
export type LocalAddress = Extract<TargetSettings, { kind: "address" }>;

/** What a pipe tells its owner. */
export interface PipeOwner {
  /** The bytes that the session is decoding now; a chunk that is this very object is never written again. */
  readonly decoding: Uint8Array | null;
  /** The local service did not take the connection; the stream has been reset. */
  pipeOnRefused(pipe: LocalPipe, code: string): void;
  /** The local connection broke; the stream has been reset. */
  pipeOnBroken(pipe: LocalPipe, code: string): void;
  /** The local service has taken the connection, and the stream is accepted. */
  pipeOnConnect(pipe: LocalPipe): void;
  /** The pipe is done; exactly once. */
  pipeOnClose(pipe: LocalPipe): void;
}

const State = { CONNECTING: 0, OPEN: 1, CLOSED: 2 } as const;
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
  readonly #onWritten: () => void;

  constructor(stream: Stream, address: LocalAddress, owner: PipeOwner, now: number) {
    this.stream = stream;
    this.startedAt = now;
    this.#owner = owner;
    this.#onWritten = () => this.#credit();
    // Not accepted yet, but a reset by the relay is to end the connection attempt at once.
    stream.handler = this;
    const socket = openSocket(address);
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
    if (!this.#socket.writable) {
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
    this.#socket.resume();
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
    if (!this.stream.write(chunk)) this.#socket.pause();
  }

  #end(): void {
    this.#localEnded = true;
    if (this.#state === State.OPEN && !this.stream.closed) this.stream.end();
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
    if (this.#state === State.CLOSED) return;
    const wasConnecting = this.#state === State.CONNECTING;
    if (this.#localEnded && !this.stream.closed) {
      // An answer that is complete must not be lost with the connection: its last bytes and the FIN may still wait
      // for credit. The stream ends when the relay ends or resets it.
      this.#creditAll();
      return;
    }
    this.#cut();
    if (!this.stream.closed) {
      // Bytes read before the break leave before the RST, which would overtake them.
      this.stream.session.flush();
      this.stream.reset();
    }
    if (wasConnecting) this.#owner.pipeOnRefused(this, code);
    else this.#owner.pipeOnBroken(this, code);
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
      this.#socket.resetAndDestroy();
    } else {
      this.#socket.destroy();
    }
  }

  #close(): void {
    this.#state = State.CLOSED;
    this.#owner.pipeOnClose(this);
  }
}

/** An option of `tls.connect` that its published types leave out. */
const TLS_HALF_OPEN = { allowHalfOpen: true };

function openSocket({ host, port, tls, ca }: LocalAddress): Socket {
  if (!tls) return connectTcp({ host, port, allowHalfOpen: true });
  return connectTls({
    host,
    port,
    ...TLS_HALF_OPEN,
    ALPNProtocols: ["http/1.1"],
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === null ? {} : { ca }),
  });
}
