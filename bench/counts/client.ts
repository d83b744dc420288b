import { once } from "node:events";
import { connect, type Socket } from "node:net";

const LAST_CHARACTERS = 64;

/** One kept-alive connection that sends what it is given and counts what comes back. */
export class StepClient {
  readonly #socket: Socket;
  #received = 0;
  #failure: Error | null = null;
  #wake = (): void => {};
  /** The end of what has come since the last call. */
  #last = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (data: Buffer) => {
      this.#received += data.length;
      this.#last = (this.#last + data.toString("latin1")).slice(-LAST_CHARACTERS);
      this.#wake();
    });
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the relay closed a client's connection")));
  }

  static async dial(port: number): Promise<StepClient> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new StepClient(socket);
  }

  send(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Resolves when `count` bytes have come since the last call. @throws Error where the connection is lost */
  async receive(count: number): Promise<void> {
    while (this.#received < count) {
      if (this.#failure !== null) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#received > count) throw new Error(`${this.#received} bytes came, not ${count}`);
    this.#received = 0;
    this.#last = "";
  }

  /** The whole of an answer whose end is known by its last bytes: for the first one, whose length is not known yet. */
  async receiveUpTo(end: string): Promise<number> {
    while (!this.#last.endsWith(end)) {
      if (this.#failure !== null) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const count = this.#received;
    this.#received = 0;
    this.#last = "";
    return count;
  }

  close(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }
}
