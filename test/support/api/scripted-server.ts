import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** A server that answers as a test says. */
export interface ScriptedServer {
  readonly url: string;
  /** Method and path of each request, in order. */
  readonly calls: string[];
  /** Connections that were made. */
  readonly connections: () => number;
}

/** Starts one on the loopback; it ends with the test, whatever is open. */
export async function startScriptedServer(
  t: TestContext,
  answer: RequestListener,
): Promise<ScriptedServer> {
  const calls: string[] = [];
  let connections = 0;
  const server = createServer((request: IncomingMessage, response) => {
    calls.push(`${request.method} ${request.url}`);
    answer(request, response as never);
  });
  server.on("connection", () => {
    connections += 1;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, calls, connections: () => connections };
}
