import { once } from "node:events";
import { createServer, connect as dial, type Server, type Socket } from "node:net";

/** A TCP proxy on loopback that holds every byte back for a time, like a long line of ample capacity. */
export class DelayProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, targetPort: number, oneWayMs: number) {
    this.#server = server;
    server.on("connection", (near) => {
      const far = dial({ port: targetPort, host: "127.0.0.1", noDelay: true });
      near.setNoDelay(true);
      this.#join(near, far, oneWayMs);
      this.#join(far, near, oneWayMs);
    });
  }

  /** @param oneWayMs half of the round trip that it adds */
  static async start(targetPort: number, oneWayMs: number): Promise<DelayProxy> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new DelayProxy(server, targetPort, oneWayMs);
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the proxy is closed");
    return address.port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(from: Socket, to: Socket, oneWayMs: number): void {
    this.#sockets.add(from);
    const later = (work: () => void): void => {
      setTimeout(work, oneWayMs).unref();
    };
    from.on("data", (chunk) => later(() => to.write(chunk)));
    from.on("end", () => later(() => to.end()));
    from.on("error", () => to.destroy());
    from.on("close", () => {
      this.#sockets.delete(from);
      later(() => to.destroy());
    });
  }
}
