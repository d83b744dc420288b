import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import type { Readable } from "node:stream";

/** A service of a device. `connections` counts what it accepted since its start. */
export interface LocalService {
  /** For `to`. */
  readonly url: string;
  readonly connections: { count: number };
  close(): Promise<void>;
}

/** Resolves when the connection is gone, in whatever way; drops what still comes, and answers FIN with FIN. */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.resume().once("end", () => socket.end());
    socket.once("close", () => resolve());
  });
}

/** Reads to the end and leaves the other direction alone, which `toArray()` does not on Node 20. */
export function readAll(source: Readable): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    source.on("data", (chunk: Buffer) => chunks.push(chunk)).resume();
    source.once("end", () => resolve(Buffer.concat(chunks)));
    source.once("error", reject);
    source.once("close", () => reject(new Error("closed before its end")));
  });
}

/** Bytes that differ from each other everywhere, the same for the same length. */
export function patternBytes(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let word = 0x9e3779b9;
  for (let offset = 0; offset + 4 <= length; offset += 4) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    bytes.writeUInt32LE(word, offset);
  }
  bytes.fill(0x5a, length - (length % 4));
  return bytes;
}

export function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * An HTTP service: `/hello` answers `hello <n>`, `/down/<bytes>` a pattern, `/up` the hash and length of what it got,
 * `/echo` what it got, `/status/<code>` an empty answer, `/hold` nothing until {@link HttpService.release}.
 */
export class HttpService implements LocalService {
  readonly url: string;
  readonly connections = { count: 0 };
  readonly server: Server;
  /** Requests that were broken off by their client. */
  aborted = 0;
  readonly #held: ServerResponse[] = [];
  readonly #holdWaiting: (() => void)[] = [];

  static async start(tls?: { key: string; cert: string }): Promise<HttpService> {
    const server = tls === undefined ? createServer() : createTlsServer(tls);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new HttpService(server, tls !== undefined);
  }

  private constructor(server: Server, tls: boolean) {
    this.server = server;
    const { port } = server.address() as AddressInfo;
    this.url = `${tls ? "https" : "http"}://127.0.0.1:${port}`;
    server.keepAliveTimeout = 60_000;
    server.on(tls ? "secureConnection" : "connection", () => {
      this.connections.count += 1;
    });
    server.on("request", (request, response) => this.#serve(request, response));
  }

  /** Resolves when `count` requests are held. */
  async held(count: number): Promise<void> {
    while (this.#held.length < count) {
      await new Promise<void>((resolve) => {
        this.#holdWaiting.push(resolve);
      });
    }
  }

  /** Answers every held request. */
  release(): void {
    for (const response of this.#held.splice(0)) response.end("released");
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const [, verb = "", argument = ""] = (request.url ?? "").split("/");
    request.once("error", () => {
      this.aborted += 1;
    });
    if (verb === "hello") response.end(`hello ${argument}`);
    else if (verb === "down") response.end(patternBytes(Number(argument)));
    else if (verb === "echo") request.pipe(response);
    else if (verb === "up") this.#hash(request, response);
    else if (verb === "hold") this.#hold(response);
    else {
      response.statusCode = Number(argument) || 404;
      response.end();
    }
  }

  #hash(request: IncomingMessage, response: ServerResponse): void {
    const hash = createHash("sha256");
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      hash.update(chunk);
      length += chunk.length;
    });
    request.on("end", () => response.end(`${length} ${hash.digest("hex")}`));
  }

  #hold(response: ServerResponse): void {
    this.#held.push(response);
    for (const waiting of this.#holdWaiting.splice(0)) waiting();
  }
}

/** A TCP service that leaves each connection to the test. */
export class TcpService implements LocalService {
  readonly url: string;
  readonly connections = { count: 0 };
  readonly #server: ReturnType<typeof createTcpServer>;
  readonly #arrived: Socket[] = [];
  readonly #waiting: ((socket: Socket) => void)[] = [];
  readonly #all: Socket[] = [];

  static async start(): Promise<TcpService> {
    const server = createTcpServer({ allowHalfOpen: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new TcpService(server);
  }

  private constructor(server: ReturnType<typeof createTcpServer>) {
    this.#server = server;
    this.url = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (socket) => {
      this.connections.count += 1;
      this.#all.push(socket);
      socket.on("error", () => {});
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#arrived.push(socket);
      else waiting(socket);
    });
  }

  /** The next connection, half-open allowed, with an `error` listener that ignores. */
  nextConnection(): Promise<Socket> {
    const socket = this.#arrived.shift();
    if (socket !== undefined) return Promise.resolve(socket);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  async close(): Promise<void> {
    for (const socket of this.#all) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
