import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { TestContext } from "node:test";

/** What went over the connections of a {@link startTap}, each direction as one text, byte by byte. */
export interface Tapped {
  /** From clients to the server. */
  readonly sent: () => string;
  /** From the server to clients. */
  readonly answered: () => string;
  /** Cuts what is connected, and everything that comes, until it is opened again. */
  setOpen(isOpen: boolean): void;
  /** Takes everything and passes nothing on, of what is connected now, as a network that is cut. For good. */
  silence(): void;
}

/** Listens on one port of loopback, passes everything on to another one, and keeps what it passed. */
export async function startTap(t: TestContext, port: number, to: number): Promise<Tapped> {
  const connections: { readonly sent: Buffer[]; readonly answered: Buffer[] }[] = [];
  const sockets = new Set<Socket>();
  let isOpen = true;
  const server = createServer((client) => {
    if (!isOpen) {
      client.destroy();
      return;
    }
    const kept = { sent: [] as Buffer[], answered: [] as Buffer[] };
    connections.push(kept);
    const upstream = connect(to, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => sockets.delete(socket));
    }
    client.on("data", (chunk: Buffer) => kept.sent.push(chunk));
    upstream.on("data", (chunk: Buffer) => kept.answered.push(chunk));
    client.pipe(upstream);
    upstream.pipe(client);
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const textOf = (direction: "sent" | "answered"): string =>
    connections.map((kept) => Buffer.concat(kept[direction]).toString("latin1")).join("\n");
  return {
    sent: () => textOf("sent"),
    answered: () => textOf("answered"),
    silence: () => {
      for (const socket of sockets) socket.unpipe().resume();
    },
    setOpen: (open) => {
      isOpen = open;
      if (!open) for (const socket of sockets) socket.destroy();
    },
  };
}
