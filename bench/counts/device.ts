import { once } from "node:events";
import { WebSocket } from "ws";

const HEADER_BYTES = 12;
const WINDOW_BYTES = 256 * 1_024;
const Type = { DATA: 0, WINDOW_UPDATE: 1, PING: 2, GO_AWAY: 3 } as const;
const Flag = { SYN: 1, ACK: 2, FIN: 4, RST: 8 } as const;
const HEAD_END = "\r\n\r\n";

interface DeviceStream {
  acked: boolean;
  /** Bytes that may still be sent. */
  window: number;
  /** Received and not yet returned as credit. */
  owed: number;
  text: string;
  /** Of the body, once the head was read. -1 before. */
  bodyLeft: number;
}

/**
 * A device that does what its driver says and nothing by itself: whole requests are counted as they come, and answered when and
 * in as many messages as the driver wants. One HTTP request at a time on a stream.
 */
export class StepDevice {
  /** WebSocket messages from the relay, and their bytes. */
  messagesIn = 0;
  /** WebSocket messages to the relay. */
  messagesOut = 0;
  /** Bytes of request bodies that came. */
  bodyBytes = 0;
  readonly #socket: WebSocket;
  readonly #streams = new Map<number, DeviceStream>();
  /** Streams with a whole request that waits for its answer. */
  readonly #whole: number[] = [];
  #failure: Error | null = null;
  #wake = (): void => {};

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (message: Buffer) => this.#receive(message));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", (code) => this.#fail(new Error(`the relay closed the tunnel (${code})`)));
  }

  static async dial(port: number, token: string): Promise<StepDevice> {
    const headers = { authorization: `Bearer ${token}` };
    const url = `ws://127.0.0.1:${port}/tunnel/connect`;
    const socket = new WebSocket(url, { headers, perMessageDeflate: false });
    const device = new StepDevice(socket);
    await once(socket, "open");
    return device;
  }

  /** Resolves when `count` whole requests wait for an answer. @throws Error where the tunnel is lost */
  async requests(count: number): Promise<void> {
    await this.#until(() => this.#whole.length >= count);
  }

  /** Resolves when {@link bodyBytes} has reached `count`. */
  async body(count: number): Promise<void> {
    await this.#until(() => this.bodyBytes >= count);
  }

  /** Answers every whole request with the same bytes, all in one message, with the credit that is owed. */
  answer(bytes: Buffer): void {
    this.#send([
      ...this.#ownedCredit(),
      ...this.#whole.splice(0).map((id) => this.#data(id, bytes)),
    ]);
  }

  /** Begins the answer to the one request that waits: these bytes, in a message of their own. @returns its stream */
  begin(bytes: Buffer): number {
    const id = this.#whole.shift();
    if (id === undefined) throw new Error("no request waits");
    this.#send([this.#data(id, bytes)]);
    return id;
  }

  /** More of an answer: one Data frame in a message of its own. Resolves before where the relay has not granted that much. */
  async more(id: number, bytes: Buffer): Promise<void> {
    await this.#until(() => this.#stream(id).window >= bytes.length);
    this.#send([this.#data(id, bytes)]);
  }

  /** Returns the credit that is owed, if any, in one message. */
  credit(): void {
    const frames = this.#ownedCredit();
    if (frames.length > 0) this.#send(frames);
  }

  close(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.terminate();
  }

  #stream(id: number): DeviceStream {
    const stream = this.#streams.get(id);
    if (stream === undefined) throw new Error(`no stream ${id}`);
    return stream;
  }

  #send(frames: readonly Buffer[]): void {
    this.messagesOut += 1;
    this.#socket.send(Buffer.concat(frames));
  }

  #data(id: number, bytes: Buffer): Buffer {
    const stream = this.#stream(id);
    if (stream.window < bytes.length) throw new Error("the answer is larger than the window");
    stream.window -= bytes.length;
    const flags = stream.acked ? 0 : Flag.ACK;
    stream.acked = true;
    return Buffer.concat([header(Type.DATA, flags, id, bytes.length), bytes]);
  }

  #ownedCredit(): Buffer[] {
    const frames: Buffer[] = [];
    for (const [id, stream] of this.#streams) {
      if (stream.owed < WINDOW_BYTES / 2) continue;
      const flags = stream.acked ? 0 : Flag.ACK;
      stream.acked = true;
      frames.push(header(Type.WINDOW_UPDATE, flags, id, stream.owed));
      stream.owed = 0;
    }
    return frames;
  }

  #receive(message: Buffer): void {
    this.messagesIn += 1;
    for (let at = 0; at < message.length; ) {
      const type = message.readUInt8(at + 1);
      const flags = message.readUInt16BE(at + 2);
      const id = message.readUInt32BE(at + 4);
      const length = message.readUInt32BE(at + 8);
      at += HEADER_BYTES;
      if (type === Type.PING && (flags & Flag.SYN) !== 0) {
        this.#socket.send(header(Type.PING, Flag.ACK, 0, length));
      } else if (type === Type.GO_AWAY || (flags & Flag.RST) !== 0) {
        this.#fail(new Error("the relay ended a stream or the session"));
      } else if (type === Type.DATA || type === Type.WINDOW_UPDATE) {
        this.#frame(type, flags, id, length, message.subarray(at, at + length));
        if (type === Type.DATA) at += length;
      }
    }
    this.#wake();
  }

  #frame(type: number, flags: number, id: number, length: number, payload: Buffer): void {
    let stream = this.#streams.get(id);
    if (stream === undefined) {
      stream = { acked: false, window: WINDOW_BYTES, owed: 0, text: "", bodyLeft: -1 };
      this.#streams.set(id, stream);
    }
    if (type === Type.WINDOW_UPDATE) stream.window += length;
    else this.#payload(id, stream, payload);
    if ((flags & Flag.FIN) !== 0) this.#streams.delete(id);
  }

  #payload(id: number, stream: DeviceStream, payload: Buffer): void {
    stream.owed += payload.length;
    let body = payload.length;
    if (stream.bodyLeft < 0) {
      stream.text += payload.toString("latin1");
      const end = stream.text.indexOf(HEAD_END);
      if (end < 0) return;
      const declared = /\r\ncontent-length: (\d+)\r\n/.exec(stream.text)?.[1] ?? "0";
      body = stream.text.length - end - HEAD_END.length;
      stream.bodyLeft = Number(declared);
      stream.text = "";
    }
    stream.bodyLeft -= body;
    this.bodyBytes += body;
    if (stream.bodyLeft > 0) return;
    stream.bodyLeft = -1;
    this.#whole.push(id);
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#failure !== null) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }
}

function header(type: number, flags: number, id: number, length: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt8(type, 1);
  bytes.writeUInt16BE(flags, 2);
  bytes.writeUInt32BE(id, 4);
  bytes.writeUInt32BE(length, 8);
  return bytes;
}
