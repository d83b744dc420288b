import type { IncomingMessage } from "node:http";
import type { RelayConnection } from "../relay-http/index.ts";

/** The body of a client's request on its way to the relay, at the pace of the slower end. Nothing of it is gathered. */
export class RequestBody {
  readonly #request: IncomingMessage;
  readonly #isChunked: boolean;
  #connection: RelayConnection | null;

  constructor(request: IncomingMessage, connection: RelayConnection) {
    this.#request = request;
    this.#connection = connection;
    this.#isChunked = request.headers["content-length"] === undefined;
    request.on("data", this.#onData).on("end", this.#onEnd);
  }

  /** The connection takes more. */
  drained(): void {
    if (this.#connection !== null) this.#request.resume();
  }

  /** Sends nothing more; what the client still sends is dropped. */
  stop(): void {
    if (this.#connection === null) return;
    this.#connection = null;
    this.#request.off("data", this.#onData).off("end", this.#onEnd);
    this.#request.resume();
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#connection === null || bytes.length === 0) return;
    if (this.#isChunked) this.#connection.write(`${bytes.length.toString(16)}\r\n`);
    let isTaken = this.#connection.write(bytes);
    if (this.#isChunked) isTaken = this.#connection.write("\r\n");
    if (!isTaken) this.#request.pause();
  };

  readonly #onEnd = (): void => {
    const connection = this.#connection;
    this.#connection = null;
    if (connection === null) return;
    if (this.#isChunked) connection.write("0\r\n\r\n");
    connection.endRequest();
  };
}
