import { createServer, type Socket } from "node:net";
import { listening } from "./rig.ts";

/** A target that speaks by itself, byte for byte, and never closes a connection. */
export interface RawTarget {
  readonly origin: string;
  /** Connections that are open. */
  readonly sockets: ReadonlySet<Socket>;
  stop(): void;
}

/** Starts one on a free port of the loopback. @param onConnection what it does with each connection */
export async function startRawTarget(onConnection: (socket: Socket) => void): Promise<RawTarget> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  const origin = `http://127.0.0.1:${await listening(server)}`;
  return {
    origin,
    sockets,
    stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
