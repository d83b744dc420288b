import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { Changes } from "../until.ts";

/** One request as it arrived, byte for byte. */
export interface ReceivedRequest {
  /** Request line and fields, without the empty line. */
  readonly head: string;
  readonly target: string;
  /** Lower-case names; several lines of one name are joined by ", ". */
  readonly fields: ReadonlyMap<string, string>;
  readonly socket: Socket;
  /** Bytes that came behind the head, and all that follow. */
  readonly rest: Buffer[];
}

/** Answers one request by writing to its socket. */
export type Script = (request: ReceivedRequest) => void;

/**
 * A local service that speaks in bytes: a script writes whatever it likes to the socket, right or wrong. It reads heads
 * only; what follows a head is the script's business until it calls for the next one.
 */
export class ScriptedService {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly requests: ReceivedRequest[] = [];
  readonly #arrivals = new Changes();
  /** Connections accepted so far. */
  connections = 0;
  script: Script;

  private constructor(server: Server, script: Script) {
    this.#server = server;
    this.script = script;
    server.on("connection", (socket) => this.#connection(socket));
  }

  static async start(script: Script): Promise<ScriptedService> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new ScriptedService(server, script);
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the service is closed");
    return address.port;
  }

  /** Resolves when `count` requests have arrived in all. */
  arrived(count: number): Promise<void> {
    return this.#arrivals.until(() => this.requests.length >= count, `request ${count}`);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #connection(socket: Socket): void {
    this.connections += 1;
    this.#sockets.add(socket);
    let pending = Buffer.alloc(0);
    let current: ReceivedRequest | null = null;
    let bodyLeft = 0;
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("end", () => socket.end());
    socket.on("data", (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        if (current !== null) {
          if (bodyLeft > 0) {
            const piece = pending.subarray(0, bodyLeft);
            bodyLeft -= piece.length;
            current.rest.push(piece);
            pending = pending.subarray(piece.length);
          }
          if (bodyLeft > 0) return;
          current = null;
        }
        const end = pending.indexOf("\r\n\r\n");
        if (end === -1) return;
        const head = pending.toString("latin1", 0, end);
        pending = pending.subarray(end + 4);
        const request = parseHead(head, socket);
        // A chunked body is handed to the script raw, as far as it goes: nothing follows it on this connection.
        const length = request.fields.get("content-length");
        bodyLeft = request.fields.has("transfer-encoding")
          ? Number.POSITIVE_INFINITY
          : Number(length ?? 0);
        current = request;
        this.requests.push(request);
        this.script(request);
        this.#arrivals.tell();
      }
    });
  }
}

function parseHead(head: string, socket: Socket): ReceivedRequest {
  const [line = "", ...lines] = head.split("\r\n");
  const fields = new Map<string, string>();
  for (const text of lines) {
    const colon = text.indexOf(":");
    const name = text.slice(0, colon).toLowerCase();
    const value = text.slice(colon + 1).trim();
    const before = fields.get(name);
    fields.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return { head, target: line.split(" ")[1] ?? "", fields, socket, rest: [] };
}
