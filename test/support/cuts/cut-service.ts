import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Plan } from "./plan.ts";
import { digest } from "./plan.ts";

/** The HTTP service of a device that answers by plan, and dies by plan. Field `x-plan` names the plan. */
export class CutService {
  readonly #server: Server;
  readonly #plans: readonly Plan[];

  private constructor(server: Server, plans: readonly Plan[]) {
    this.#server = server;
    this.#plans = plans;
    server.on("request", (req, res) => this.#serve(req, res));
  }

  static async start(plans: readonly Plan[]): Promise<CutService> {
    const server = createServer({ keepAliveTimeout: 60_000 });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new CutService(server, plans);
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the service is closed");
    return address.port;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  #serve(req: IncomingMessage, res: ServerResponse): void {
    const plan = this.#plans[Number(req.headers["x-plan"])];
    if (plan === undefined) {
      res.writeHead(500).end("no such plan");
      return;
    }
    const pieces: Buffer[] = [];
    let received = 0;
    const { cut } = plan;
    req.on("data", (piece: Buffer) => {
      pieces.push(piece);
      received += piece.length;
      if (cut.kind === "device-request" && received >= cut.at) req.socket.destroy();
    });
    req.on("error", () => {});
    req.on("end", () => {
      if (cut.kind === "device-request") {
        req.socket.destroy();
        return;
      }
      this.#answer(plan, Buffer.concat(pieces), req, res);
    });
  }

  #answer(plan: Plan, body: Buffer, req: IncomingMessage, res: ServerResponse): void {
    const fields = [
      "HTTP/1.1 200 OK",
      `x-request-digest: ${digest(body)}`,
      plan.responseChunked
        ? "transfer-encoding: chunked"
        : `content-length: ${plan.response.length}`,
    ];
    if (plan.cut.kind !== "device-response") {
      res.writeHead(200, {
        "x-request-digest": digest(body),
        ...(plan.responseChunked ? {} : { "content-length": plan.response.length }),
      });
      const half = plan.response.length >> 1;
      res.write(plan.response.subarray(0, half));
      res.end(plan.response.subarray(half));
      return;
    }
    const head = Buffer.from(`${fields.join("\r\n")}\r\n\r\n`, "latin1");
    const chunkHead = plan.responseChunked
      ? Buffer.from(`${plan.response.length.toString(16)}\r\n`)
      : Buffer.alloc(0);
    const whole = Buffer.concat([head, chunkHead, plan.response]);
    req.socket.write(whole.subarray(0, Math.min(plan.cut.at, whole.length - 1)), () => {
      req.socket.destroy();
    });
  }
}
