import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A server that listens on loopback. */
export interface LoopbackServer {
  readonly port: number;
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** Ends its connections too. */
  close(): Promise<void>;
}

/** Room for the code tokens of some 60 ID providers. */
const HEAD_BYTES_MAX = 64 * 1024;

/**
 * Listens on 127.0.0.1.
 *
 * @param port 0 for any that is free
 */
export async function listenOnLoopback(server: Server, port = 0): Promise<LoopbackServer> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const bound = (server.address() as AddressInfo).port;
  return {
    port: bound,
    url: `http://127.0.0.1:${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A server of `node:http` that is not listening yet. */
export function httpServer(listener: RequestListener): Server {
  return createServer({ maxHeaderSize: HEAD_BYTES_MAX }, listener);
}
