import { type Clock, monotonicClock } from "../../core/clock.ts";
import { AnswerHeads } from "./answer-head.ts";
import { type ConnectionOwner, type RelayAddress, RelayConnection } from "./relay-connection.ts";

/** How long a free connection is kept: less than half of the ten seconds after which the relay closes it. */
const FREE_MS = 4_000;
const SWEEP_MS = 1_000;

/**
 * Connections to the relay for requests to devices, one for each that runs and no more: whoever sends has a limit. The one
 * that was free for the shortest time serves next, since the relay has hardly closed it.
 */
export class RelayConnections implements ConnectionOwner {
  readonly heads = new AnswerHeads();
  readonly #address: RelayAddress;
  readonly #clock: Clock;
  readonly #all = new Set<RelayConnection>();
  /** In the order in which they became free. */
  readonly #free: RelayConnection[] = [];
  #sweep: NodeJS.Timeout | null = null;
  #isEnding = false;
  #onEnd: (() => void) | null = null;

  /** @param origin `http://127.0.0.1:3801`, or https */
  constructor(origin: string, clock: Clock = monotonicClock) {
    const { protocol, hostname, port } = new URL(origin);
    const isTls = protocol === "https:";
    // An IPv6 address stands in brackets.
    const host = hostname.replace(/^\[|\]$/g, "");
    this.#address = { host, port: Number(port === "" ? (isTls ? 443 : 80) : port), isTls };
    this.#clock = clock;
  }

  /** Open connections, and how many of them are free. */
  get counts(): { readonly open: number; readonly free: number } {
    return { open: this.#all.size, free: this.#free.length };
  }

  /** A free connection, else a new one. */
  take(): RelayConnection {
    for (let free = this.#free.pop(); free !== undefined; free = this.#free.pop()) {
      if (free.isOpen) return free;
      free.destroy();
    }
    return this.open();
  }

  /** A connection that nobody has used. */
  open(): RelayConnection {
    const connection = new RelayConnection(this.#address, this);
    this.#all.add(connection);
    return connection;
  }

  connectionOnFree(connection: RelayConnection): void {
    if (this.#isEnding) {
      connection.destroy();
      return;
    }
    connection.freeSince = this.#clock.now();
    this.#free.push(connection);
    this.#sweep ??= setInterval(() => this.#closeOld(), SWEEP_MS).unref();
  }

  connectionOnClose(connection: RelayConnection): void {
    this.#all.delete(connection);
    const at = this.#free.indexOf(connection);
    if (at >= 0) this.#free.splice(at, 1);
    if (this.#all.size === 0) this.#onEnd?.();
  }

  /** Waits for what runs, then closes the connections. */
  async end(): Promise<void> {
    this.#isEnding = true;
    this.#stopSweep();
    for (const connection of this.#free.splice(0)) connection.destroy();
    if (this.#all.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEnd = resolve;
      });
    }
  }

  /** Cuts everything now. */
  destroy(): void {
    this.#isEnding = true;
    this.#stopSweep();
    this.#free.length = 0;
    for (const connection of this.#all) connection.cut();
  }

  #closeOld(): void {
    const before = this.#clock.now() - FREE_MS;
    const old = this.#free.findIndex(({ freeSince }) => freeSince > before);
    for (const connection of this.#free.splice(0, old < 0 ? this.#free.length : old)) {
      connection.destroy();
    }
    if (this.#free.length === 0) this.#stopSweep();
  }

  #stopSweep(): void {
    if (this.#sweep !== null) clearInterval(this.#sweep);
    this.#sweep = null;
  }
}
