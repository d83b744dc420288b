import { once } from "node:events";
import {
  createServer,
  Agent as HttpAgent,
  type IncomingMessage,
  type RequestOptions,
  request as sendRequest,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { type Role, type StreamHandler, toDuplex } from "../../../src/mux/index.ts";
import { WsSession } from "../ws-session.ts";

/** How the next handshakes are answered: with a tunnel, or with this. */
export interface Refusal {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface MiniRelayOptions {
  readonly role?: Role;
  readonly tls?: { readonly key: string; readonly cert: string };
}

/**
 * The relay's side of the tunnel in the smallest form that is real: `ws` server, our yamux, `node:http` as the client
 * on each stream. It has no limits of its own and keeps no state between tunnels.
 */
export class MiniRelay {
  /** To be dialled by an agent. */
  readonly url: string;
  /** Every tunnel that came, in order. */
  readonly tunnels: RelayTunnel[] = [];
  /** Head of every handshake, in order. */
  readonly handshakes: IncomingMessage[] = [];
  /** While not null, handshakes are refused with it. */
  refusal: Refusal | null = null;
  readonly #server: ReturnType<typeof createServer>;
  readonly #waiting: ((tunnel: RelayTunnel) => void)[] = [];
  readonly #role: Role;
  #announced = 0;

  static async start(options: MiniRelayOptions = {}): Promise<MiniRelay> {
    const server = options.tls === undefined ? createServer() : createTlsServer(options.tls);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new MiniRelay(server, options);
  }

  private constructor(server: ReturnType<typeof createServer>, options: MiniRelayOptions) {
    this.#server = server;
    this.#role = options.role ?? "client";
    const scheme = options.tls === undefined ? "ws" : "wss";
    this.url = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: true });
    server.on("upgrade", (request, socket, head) => {
      this.handshakes.push(request);
      if (this.refusal !== null) {
        const lines = Object.entries(this.refusal.headers ?? {}).map(([n, v]) => `${n}: ${v}\r\n`);
        socket.end(
          `HTTP/1.1 ${this.refusal.status} Refused\r\ncontent-length: 0\r\n${lines.join("")}\r\n`,
        );
        return;
      }
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        const tunnel = new RelayTunnel(webSocket, this.#role);
        this.tunnels.push(tunnel);
        const waiting = this.#waiting.shift();
        if (waiting !== undefined) {
          this.#announced += 1;
          waiting(tunnel);
        }
      });
    });
  }

  /** The next tunnel that nobody has taken by this call yet. */
  nextTunnel(): Promise<RelayTunnel> {
    const tunnel = this.tunnels[this.#announced];
    if (tunnel !== undefined) {
      this.#announced += 1;
      return Promise.resolve(tunnel);
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  async close(): Promise<void> {
    for (const tunnel of this.tunnels) tunnel.cut();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** Stands in on an outbound stream until its Duplex takes over. */
const NOTHING: StreamHandler = {
  streamOnData: () => {},
  streamOnEnd: () => {},
  streamOnWritable: () => {},
  streamOnClose: () => {},
};

/** One tunnel, on the relay's side. */
export class RelayTunnel extends WsSession {
  readonly #keepAlive: HttpAgent;

  constructor(webSocket: WebSocket, role: Role) {
    super(role, { maxUnackedOpens: 1_024 }, webSocket);
    this.#keepAlive = new HttpAgent({ keepAlive: true, maxFreeSockets: 16, timeout: 0 });
    Object.assign(this.#keepAlive, { createConnection: () => this.open() });
    void this.ended.then(() => this.dropAll());
  }

  /** Opens a stream, as a Duplex with an `error` listener that ignores. */
  open(): Duplex {
    const duplex = toDuplex(this.session.open(NOTHING));
    duplex.on("error", () => {});
    return Object.assign(duplex, {
      setKeepAlive: () => duplex,
      setNoDelay: () => duplex,
      setTimeout: () => duplex,
      ref: () => duplex,
      unref: () => duplex,
    });
  }

  /** Sends one HTTP request over a stream, kept alive for the next one. */
  request(path: string, options: RequestOptions = {}, body?: Buffer): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = sendRequest({ agent: this.#keepAlive, host: "device", path, ...options });
      request.once("response", resolve);
      request.once("error", reject);
      request.end(body);
    });
  }

  /** Ends the streams that wait for another request, and from now on each after its one. */
  dropIdle(): void {
    this.#keepAlive.maxFreeSockets = 0;
    for (const sockets of Object.values(this.#keepAlive.freeSockets)) {
      for (const socket of sockets ?? []) socket.end();
    }
  }

  /** Resets every stream. */
  dropAll(): void {
    this.#keepAlive.destroy();
  }

  /** A message that no relay sends. */
  sendText(text: string): void {
    this.socket.send(text);
  }

  /** GoAway(0), as a relay that restarts. */
  goAway(): void {
    this.dropIdle();
    this.session.drain(1012, "restart", 30_000);
  }

  /** Drops the connection without a word. */
  cut(): void {
    this.dropAll();
    this.socket.terminate();
  }

  /** Closes with a code of the relay's own. */
  closeWith(code: number, reason: string): void {
    this.session.close(code, reason, null);
  }
}

/** Reads a response to its end. */
export async function bodyOf(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
