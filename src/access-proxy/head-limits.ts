import type { ClientRequest } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { monotonicClock } from "../core/clock.ts";
import { type Slot, SlotList } from "../core/slot-list.ts";
import { AccessProxyError } from "./errors.ts";

export interface HeadLimitsOptions {
  readonly connectTimeoutMs: number;
  /** 0 for no limit. */
  readonly headTimeoutMs: number;
}

/** A request that waits for the head of its answer. */
export interface AwaitedHead {
  readonly out: ClientRequest;
  /** When it began to connect, was connected, or sent a byte last. Milliseconds, monotonic. */
  since: number;
  isConnected: boolean;
  bytesWritten: number;
}

/** How often all requests are looked at: far below what a limit is set to, and one timer for all of them. */
const LOOKS_PER_LIMIT = 20;
const LOOK_MS_MAX = 250;

function isConnecting(socket: Socket | null): boolean {
  if (socket === null || socket.connecting) return true;
  // Not in the types: true until the handshake is over.
  return (socket as TLSSocket & { secureConnecting?: boolean }).secureConnecting === true;
}

/** Limits of time up to an answer's head: to be connected, and to be answered once no byte can be sent any more. */
export class HeadLimits {
  readonly #options: HeadLimitsOptions;
  readonly #awaited = new SlotList<AwaitedHead>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: HeadLimitsOptions) {
    this.#options = options;
    const { connectTimeoutMs, headTimeoutMs } = options;
    const shortest = Math.min(connectTimeoutMs, headTimeoutMs === 0 ? Infinity : headTimeoutMs);
    const lookMs = Math.max(1, Math.min(LOOK_MS_MAX, shortest / LOOKS_PER_LIMIT));
    this.#timer = setInterval(() => this.#look(), lookMs).unref();
  }

  begin(out: ClientRequest): Slot<AwaitedHead> {
    const { now } = monotonicClock;
    return this.#awaited.add({ out, since: now(), isConnected: false, bytesWritten: 0 });
  }

  /** Whether it was still waited for. */
  end(awaited: Slot<AwaitedHead>): boolean {
    return this.#awaited.remove(awaited);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = monotonicClock.now();
    for (const awaited of this.#awaited) this.#check(awaited, now);
  }

  #check(awaited: AwaitedHead, now: number): void {
    const { connectTimeoutMs, headTimeoutMs } = this.#options;
    const { out } = awaited;
    if (!awaited.isConnected) {
      if (!isConnecting(out.socket)) {
        awaited.isConnected = true;
        awaited.since = now;
      } else if (now - awaited.since > connectTimeoutMs) {
        out.destroy(Object.assign(new Error("connect timeout"), { code: "ETIMEDOUT" }));
      }
      return;
    }
    const bytesWritten = out.socket?.bytesWritten ?? 0;
    if (bytesWritten !== awaited.bytesWritten) {
      awaited.bytesWritten = bytesWritten;
      awaited.since = now;
    } else if (headTimeoutMs > 0 && now - awaited.since > headTimeoutMs) {
      out.destroy(new AccessProxyError("ERR_ACCESS_PROXY_TIMEOUT"));
    }
  }
}
