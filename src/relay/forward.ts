import type { HttpResponse } from "uWebSockets.js";
import { HttpError } from "../core/errors.ts";
import type { RelayContext } from "./context.ts";
import { relayError } from "./errors.ts";
import { Exchange, type ExchangeOwner } from "./exchange.ts";
import { HoldQueue } from "./hold-queue.ts";
import { HeadMemory, type RequestFields, type RequestHop } from "./http1/index.ts";
import { KEEP_AWAKE_MS } from "./response-timeout.ts";
import type { Tunnel } from "./tunnel.ts";

/** Exchanges kept for later requests. */
const SPARE_EXCHANGES_MAX = 512;

/** Where a request came in: at the edge, or over the internal API. */
export const Front = { EDGE: 0, INTERNAL: 1 } as const;
export type Front = (typeof Front)[keyof typeof Front];

/** Who calls, once that is known; or why the request is refused. */
export type Admission = { readonly keyId: string } | HttpError;

/** One request, checked and routed. */
export interface ForwardRoute {
  /** The device's tunnel, null when it has none now. */
  readonly tunnel: Tunnel | null;
  readonly deviceId: string;
  /** Public reference of the key that called, or of the session for the internal API. */
  readonly keyId: string;
  readonly front: Front;
  readonly method: string;
  /** Request target for the device, origin form. */
  readonly target: string;
  /** Finished and without a problem; read only until `forward` returns. */
  readonly fields: RequestFields;
  readonly hop: RequestHop;
  readonly requestId: string;
}

/**
 * Brings requests to devices and answers back. One per relay.
 *
 * It knows every exchange that runs: for the limits, for the time limits, and so that a drain can wait for them.
 */
export class Forwarder implements ExchangeOwner {
  readonly context: RelayContext;
  readonly headMemory = new HeadMemory();
  coarseNow: number;
  readonly #spare: Exchange[] = [];
  readonly #holds: HoldQueue;
  #first: Exchange | null = null;
  #running = 0;
  /** When uWS's timers were reset last: those of request bodies, those of responses. */
  #requestsAwakeAt: number;
  #responsesAwakeAt: number;
  #closed = false;
  #onIdle: (() => void) | null = null;

  constructor(context: RelayContext) {
    this.context = context;
    this.coarseNow = context.clock.now();
    // Never a small integer: what V8 compiled for one would be thrown away with the first time that is none.
    this.#requestsAwakeAt = this.coarseNow;
    this.#responsesAwakeAt = this.coarseNow;
    this.#holds = new HoldQueue(context.options.holdQueueMax);
  }

  /** Requests that have been taken and not ended. */
  get running(): number {
    return this.#running;
  }

  /** Requests that wait for their device. */
  get holding(): number {
    return this.#holds.size;
  }

  /** Takes `res` over. To be called in the route handler. */
  forward(res: HttpResponse, route: ForwardRoute): void {
    const exchange = this.#take(res, route);
    if (exchange !== null) this.#dispatch(exchange, route.tunnel);
  }

  /** The same for a request whose admission is still being asked for; its body waits, paused. */
  forwardWhen(res: HttpResponse, route: ForwardRoute, admission: Promise<Admission>): void {
    const exchange = this.#take(res, route);
    if (exchange === null) return;
    const { serial } = exchange;
    const settle = (late: Admission): void => {
      if (exchange.serial !== serial) return;
      if (late instanceof HttpError) {
        exchange.fail(late);
        return;
      }
      exchange.route = { ...route, keyId: late.keyId };
      this.#dispatch(exchange, this.context.store.findDevice(route.deviceId));
    };
    admission.then(settle, (error: unknown) => {
      this.context.log.error({ err: error, requestId: route.requestId }, "the caller gate failed");
      settle(relayError("ERR_RELAY_GATE_UNAVAILABLE", { retryAfter: 1 }));
    });
  }

  #take(res: HttpResponse, route: ForwardRoute): Exchange | null {
    const exchange = this.#spare.pop() ?? new Exchange(this);
    this.#running += 1;
    exchange.previous = null;
    exchange.next = this.#first;
    if (this.#first !== null) this.#first.previous = exchange;
    this.#first = exchange;
    exchange.attach(res, route);
    if (this.#closed || this.#running > this.context.options.inFlightMax) {
      exchange.fail(relayError("ERR_RELAY_OVERLOADED", { retryAfter: 1 }));
      return null;
    }
    return exchange;
  }

  /** A device has a new tunnel: what waited for it goes on. */
  tunnelOnReady(tunnel: Tunnel): void {
    if (this.#holds.size === 0) return;
    for (const exchange of this.#holds.takeAll(tunnel.deviceId)) {
      this.context.metrics.holdsServed += 1;
      this.#dispatch(exchange, tunnel);
    }
  }

  exchangeOnRetry(exchange: Exchange): void {
    const deviceId = exchange.route?.deviceId ?? "";
    this.#dispatch(exchange, this.context.store.findDevice(deviceId));
  }

  exchangeOnDone(exchange: Exchange): void {
    if (exchange.heldUntil > 0) {
      this.#holds.remove(exchange);
      exchange.heldUntil = 0;
    }
    if (exchange.previous === null) this.#first = exchange.next;
    else exchange.previous.next = exchange.next;
    if (exchange.next !== null) exchange.next.previous = exchange.previous;
    exchange.next = null;
    exchange.previous = null;
    exchange.route = null;
    this.#running -= 1;
    if (this.#spare.length < SPARE_EXCHANGES_MAX) this.#spare.push(exchange);
    if (this.#running === 0 && this.#onIdle !== null) this.#onIdle();
  }

  #dispatch(exchange: Exchange, tunnel: Tunnel | null): void {
    const { options } = this.context;
    if (tunnel === null || !tunnel.isLive) {
      this.#hold(exchange);
      return;
    }
    if (tunnel.inFlight >= options.inFlightPerDeviceMax) {
      exchange.fail(relayError("ERR_RELAY_OVERLOADED", { retryAfter: 1 }));
      return;
    }
    exchange.start(tunnel);
  }

  #hold(exchange: Exchange): void {
    const { options, clock, metrics, draining } = this.context;
    if (draining) {
      // No device comes back to a relay that stops.
      exchange.fail(relayError("ERR_RELAY_DRAINING", { retryAfter: 1 }));
      return;
    }
    const now = clock.now();
    if (options.holdMs === 0 || this.#closed || !this.#holds.add(exchange, now + options.holdMs)) {
      exchange.fail(relayError("ERR_RELAY_OFFLINE", { retryAfter: 1 }));
      return;
    }
    metrics.held();
  }

  /** Time limits. Called about four times a second by the relay. */
  sweep(now: number): void {
    this.coarseNow = now;
    for (const exchange of this.#holds.takeDue(now)) {
      exchange.fail(relayError("ERR_RELAY_OFFLINE", { retryAfter: 1 }));
    }
    const requests = now - this.#requestsAwakeAt >= KEEP_AWAKE_MS.SHORT;
    if (requests) this.#requestsAwakeAt = now;
    const responses = now - this.#responsesAwakeAt >= this.context.responseAwakeMs;
    if (responses) this.#responsesAwakeAt = now;
    let exchange = this.#first;
    while (exchange !== null) {
      const { next } = exchange;
      exchange.sweep(now);
      if (requests) exchange.keepRequestAwake();
      if (responses) exchange.keepResponseAwake();
      exchange = next;
    }
  }

  /** Resolves when no exchange runs. */
  whenIdle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const before = this.#onIdle;
      this.#onIdle = () => {
        this.#onIdle = null;
        before?.();
        resolve();
      };
    });
  }

  /** Ends every running exchange: answered where the head is not out yet, cut otherwise. */
  close(): void {
    this.#closed = true;
    this.#endWhere(() => true, relayError("ERR_RELAY_DRAINING", { retryAfter: 1 }));
  }

  /**
   * Ends what runs for callers whose keys are good no longer, in the same way. It looks at every running exchange.
   *
   * @param keyIds public references, `hwk_<id>`
   */
  endCallers(keyIds: ReadonlySet<string>): void {
    const isTheirs = ({ route }: Exchange): boolean => route !== null && keyIds.has(route.keyId);
    this.#endWhere(isTheirs, relayError("ERR_RELAY_UNAUTHORIZED"));
  }

  #endWhere(isMeant: (exchange: Exchange) => boolean, error: HttpError): void {
    let exchange = this.#first;
    while (exchange !== null) {
      const { next } = exchange;
      if (isMeant(exchange)) exchange.fail(error);
      exchange = next;
    }
  }
}
