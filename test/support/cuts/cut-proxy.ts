import { once } from "node:events";
import { createServer, connect as dial, type Server, type Socket } from "node:net";

/** A TCP proxy whose connections can be cut after a given number of further bytes in one direction. */
export class CutProxy {
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #pairs = new Set<{ near: Socket; far: Socket }>();
  #toTarget = Number.POSITIVE_INFINITY;
  #fromTarget = Number.POSITIVE_INFINITY;
  /** Cuts done. */
  cuts = 0;

  private constructor(server: Server, targetPort: number) {
    this.#server = server;
    this.#targetPort = targetPort;
    server.on("connection", (near) => this.#pair(near));
  }

  static async start(targetPort: number): Promise<CutProxy> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new CutProxy(server, targetPort);
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the proxy is closed");
    return address.port;
  }

  /** Cuts all connections once `bytes` more have passed towards the target. */
  cutToTarget(bytes: number): void {
    this.#toTarget = Math.min(this.#toTarget, bytes);
  }

  /** Cuts all connections once `bytes` more have come from the target. */
  cutFromTarget(bytes: number): void {
    this.#fromTarget = Math.min(this.#fromTarget, bytes);
  }

  async close(): Promise<void> {
    this.#cutAll();
    this.#server.close();
    await once(this.#server, "close");
  }

  #pair(near: Socket): void {
    const far = dial(this.#targetPort, "127.0.0.1");
    const pair = { near, far };
    this.#pairs.add(pair);
    const end = (): void => {
      near.destroy();
      far.destroy();
      this.#pairs.delete(pair);
    };
    near.on("error", end).on("close", end);
    far.on("error", end).on("close", end);
    near.on("data", (chunk) => {
      this.#toTarget = this.#pass(chunk, this.#toTarget, near, far);
    });
    far.on("data", (chunk) => {
      this.#fromTarget = this.#pass(chunk, this.#fromTarget, far, near);
    });
  }

  /** Passes what may pass; cuts at the limit. Returns what is left of it. */
  #pass(chunk: Buffer, left: number, from: Socket, to: Socket): number {
    if (chunk.length >= left) {
      const last = chunk.subarray(0, left);
      if (last.length > 0) to.write(last);
      this.cuts += 1;
      this.#cutAll();
      return Number.POSITIVE_INFINITY;
    }
    if (!to.write(chunk)) {
      from.pause();
      to.once("drain", () => from.resume());
    }
    return left - chunk.length;
  }

  #cutAll(): void {
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
    this.#pairs.clear();
  }
}
