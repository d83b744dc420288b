import type { Exchange } from "./exchange.ts";

/**
 * Requests whose device is away for a moment, in order of arrival. Bounded; every one leaves when its device comes
 * back, when its time is up, or when its client goes.
 */
export class HoldQueue {
  readonly #sizeMax: number;
  readonly #byDevice = new Map<string, Set<Exchange>>();
  #size = 0;

  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }

  get size(): number {
    return this.#size;
  }

  /** @returns false when the queue is full */
  add(exchange: Exchange, until: number): boolean {
    const deviceId = exchange.route?.deviceId;
    if (deviceId === undefined || this.#size >= this.#sizeMax) return false;
    let waiting = this.#byDevice.get(deviceId);
    if (waiting === undefined) {
      waiting = new Set();
      this.#byDevice.set(deviceId, waiting);
    }
    waiting.add(exchange);
    exchange.heldUntil = until;
    this.#size += 1;
    return true;
  }

  remove(exchange: Exchange): void {
    const deviceId = exchange.route?.deviceId ?? "";
    const waiting = this.#byDevice.get(deviceId);
    if (waiting?.delete(exchange) !== true) return;
    this.#size -= 1;
    if (waiting.size === 0) this.#byDevice.delete(deviceId);
  }

  /** Removes and gives all that wait for a device. */
  takeAll(deviceId: string): Exchange[] {
    const waiting = this.#byDevice.get(deviceId);
    if (waiting === undefined) return [];
    this.#byDevice.delete(deviceId);
    this.#size -= waiting.size;
    return release([...waiting]);
  }

  /** Removes and gives those whose time is up. */
  takeDue(now: number): Exchange[] {
    if (this.#size === 0) return [];
    const due: Exchange[] = [];
    for (const waiting of this.#byDevice.values()) {
      for (const exchange of waiting) if (exchange.heldUntil <= now) due.push(exchange);
    }
    for (const exchange of due) this.remove(exchange);
    return release(due);
  }
}

function release(exchanges: Exchange[]): Exchange[] {
  for (const exchange of exchanges) exchange.heldUntil = 0;
  return exchanges;
}
