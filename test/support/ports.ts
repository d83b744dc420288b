import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:net";

/** Ports of the loopback, by blocks: of each block a process holds the first port and lends the others. */
export interface PortRange {
  readonly first: number;
  /** The first port that is none of the range. */
  readonly end: number;
  readonly blockPorts: number;
}

/** Below what the system gives to outgoing connections, and apart from what the command line picks for itself. */
const RANGE: PortRange = { first: 10_000, end: 20_000, blockPorts: 100 };

/**
 * Lends ports to servers whose port others must know before they listen. Processes that run at the same time never get
 * the same one: whose first port of a block can be listened on has the block, until the kernel closes that listener at
 * the end of the process. A port that is taken all the same, by a server that outlives its test, is skipped.
 */
export class PortLender {
  readonly #range: PortRange;
  /** The listeners that hold the blocks. */
  readonly #holds: Server[] = [];
  /** Firsts of the blocks that were not tried yet, in the order of trying. */
  readonly #untried: number[];
  /** The next port of the block held last, and the end of that block. */
  #next = 0;
  #end = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(range: PortRange = RANGE) {
    this.#range = range;
    const count = Math.floor((range.end - range.first) / range.blockPorts);
    const start = randomInt(count);
    this.#untried = Array.from(
      { length: count },
      (_, index) => range.first + ((start + index) % count) * range.blockPorts,
    );
  }

  /**
   * A port of 127.0.0.1 that this process lends once.
   *
   * @throws Error when no block is left
   */
  lend(): Promise<number> {
    const port = this.#turn.then(() => this.#free());
    this.#turn = port.catch(() => undefined);
    return port;
  }

  /** Lets go of the blocks. */
  close(): void {
    for (const hold of this.#holds.splice(0)) hold.close();
    this.#next = this.#end;
  }

  async #free(): Promise<number> {
    for (;;) {
      if (this.#next === this.#end) await this.#holdBlock();
      const port = this.#next++;
      const probe = await listener(port);
      if (probe === null) continue;
      probe.close();
      await once(probe, "close");
      return port;
    }
  }

  async #holdBlock(): Promise<void> {
    for (let first = this.#untried.shift(); first !== undefined; first = this.#untried.shift()) {
      const hold = await listener(first);
      if (hold === null) continue;
      hold.unref();
      this.#holds.push(hold);
      this.#next = first + 1;
      this.#end = first + this.#range.blockPorts;
      return;
    }
    throw new Error("no port is left");
  }
}

const ofProcess = new PortLender();

/** {@link PortLender.lend} of the one lender of this process, which holds its blocks until the process ends. */
export function lendPort(): Promise<number> {
  return ofProcess.lend();
}

/** A listener of that port alone, null where it is taken. */
async function listener(port: number): Promise<Server | null> {
  const server = createServer((socket) => socket.destroy());
  try {
    server.listen({ port, host: "127.0.0.1", exclusive: true });
    await once(server, "listening");
    return server;
  } catch {
    return null;
  }
}
