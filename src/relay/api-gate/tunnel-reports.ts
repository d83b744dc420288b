import type { Logger } from "pino";
import { Backoff } from "../../core/backoff.ts";
import {
  TUNNEL_EVENTS_MAX,
  type TunnelEvent,
  type TunnelReport,
} from "../../core/tunnel-reports.ts";
import type { TunnelListener } from "../ports.ts";
import { ApiClient, type ApiClientOptions } from "./api-client.ts";
import { GateError } from "./errors.ts";
import { backgroundTimers, type GateTimers } from "./timers.ts";

/** What {@link TunnelReports} are made from. Times in milliseconds. */
export interface TunnelReportsOptions extends ApiClientOptions {
  readonly logger: Logger;
  readonly timers?: GateTimers;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  /** Events that wait at most. */
  readonly eventsMax?: number;
  /** How long the first event waits for company. */
  readonly waitMs?: number;
  /** How long {@link TunnelReports.close} tries to send what waits. */
  readonly closeMs?: number;
}

/** A fleet of 100,000 that went and came back; some 200 bytes each. */
const EVENTS_MAX = 200_000;
const WAIT_MS = 1_000;
const CLOSE_MS = 2_000;
const ANSWER_BYTES_MAX = 1_024;
const BACKOFF = { baseMs: 250, capMs: 10_000 };

/**
 * Tells the API server of tunnels that came up and ended: in their order, up to 500 at a time or a second after the first,
 * one call under way, again until it is taken.
 *
 * While the API server is away events wait. When as many wait as may, only what matters still is kept: the last opening
 * and the last closing of each token. When that is not enough, the oldest go; what they would have told is found out by the
 * re-check of live tokens.
 */
export class TunnelReports implements TunnelListener {
  readonly #client: ApiClient;
  readonly #logger: Logger;
  readonly #timers: GateTimers;
  readonly #backoff: Backoff;
  readonly #eventsMax: number;
  readonly #waitMs: number;
  readonly #closeMs: number;
  #events: TunnelEvent[] = [];
  /** Of them, from the front, in the call under way. */
  #sending = 0;
  #call: Promise<void> | null = null;
  #timer: unknown = null;
  #isAway = false;
  #isClosed = false;

  constructor(options: TunnelReportsOptions) {
    this.#client = new ApiClient(options, "/internal/tunnels", ANSWER_BYTES_MAX);
    this.#logger = options.logger;
    this.#timers = options.timers ?? backgroundTimers;
    const { random } = options;
    this.#backoff = new Backoff({ ...BACKOFF, ...(random === undefined ? {} : { random }) });
    this.#eventsMax = options.eventsMax ?? EVENTS_MAX;
    this.#waitMs = options.waitMs ?? WAIT_MS;
    this.#closeMs = options.closeMs ?? CLOSE_MS;
  }

  /** Events that wait, those under way included. */
  get size(): number {
    return this.#events.length;
  }

  tunnelOnEvent(event: TunnelEvent): void {
    if (this.#isClosed) return;
    if (this.#events.length >= this.#eventsMax) this.#makeRoom();
    this.#events.push(event);
    if (this.#call !== null || this.#isAway) return;
    if (this.#events.length >= TUNNEL_EVENTS_MAX) this.#send();
    else if (this.#timer === null) this.#sendAfter(this.#waitMs);
  }

  /** Sends what waits, for two seconds at most, and stops. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timers.clear(this.#timer);
    const late = new Promise<void>((resolve) => {
      this.#timer = this.#timers.set(resolve, this.#closeMs);
    });
    await Promise.race([this.#sendAll(), late]);
    this.#timers.clear(this.#timer);
    if (this.#events.length > 0) {
      const count = this.#events.length;
      this.#logger.warn({ count }, "events of tunnels that the API server was not told of");
    }
    await this.#client.close();
  }

  /** Until nothing waits or a call fails. */
  async #sendAll(): Promise<void> {
    await this.#call;
    for (let left = this.#events.length; left > 0; left = this.#events.length) {
      this.#send();
      await this.#call;
      if (this.#events.length >= left) return;
    }
  }

  #sendAfter(delayMs: number): void {
    this.#timer = this.#timers.set(() => {
      this.#timer = null;
      this.#send();
    }, delayMs);
  }

  #send(): void {
    this.#timers.clear(this.#timer);
    this.#timer = null;
    const events = this.#events.slice(0, TUNNEL_EVENTS_MAX);
    this.#sending = events.length;
    this.#call = this.#deliver({ events });
  }

  /** Makes one call. Never rejects. */
  async #deliver(report: TunnelReport): Promise<void> {
    const sent = report.events.length;
    try {
      const { taken } = await this.#client.post(report, async () => {
        const { parseTunnelReportTaken } = await import("../../core/tunnel-report-schema.ts");
        return (text) => parseTunnelReportTaken(text, sent);
      });
      this.#events.splice(0, taken);
      this.#settled(taken === sent ? null : new Error("a part was taken"));
    } catch (error) {
      // Told again it would be refused again, and all that waits behind it with it.
      if (error instanceof GateError && error.status === 400) {
        this.#logger.error({ count: sent }, "the API server cannot read a report: it is dropped");
        this.#events.splice(0, sent);
      }
      this.#settled(error);
    }
  }

  #settled(error: unknown): void {
    this.#call = null;
    this.#sending = 0;
    if (error === null) {
      if (this.#isAway) this.#logger.info("the API server takes reports of tunnels again");
      this.#isAway = false;
      this.#backoff.reset();
    } else {
      if (!this.#isAway) this.#logger.warn({ err: error }, "reports of tunnels are not taken");
      this.#isAway = true;
    }
    if (this.#isClosed) return;
    if (this.#isAway) this.#sendAfter(this.#backoff.next());
    else if (this.#events.length >= TUNNEL_EVENTS_MAX) this.#send();
    else if (this.#events.length > 0) this.#sendAfter(this.#waitMs);
  }

  /** Keeps what is under way, and of the rest the last of its kind of each token; drops the oldest where that is all. */
  #makeRoom(): void {
    const kept: TunnelEvent[] = [];
    const seen = new Set<string>();
    for (let at = this.#events.length - 1; at >= this.#sending; at--) {
      const event = this.#events[at] as TunnelEvent;
      const name = `${event.kind} ${event.token}`;
      if (seen.has(name)) continue;
      seen.add(name);
      kept.push(event);
    }
    kept.reverse();
    const room = Math.max(1, Math.floor(this.#eventsMax / 10));
    const keptMax = Math.max(0, this.#eventsMax - this.#sending - room);
    const dropped = Math.max(0, kept.length - keptMax);
    if (dropped > 0) {
      this.#logger.error(
        { count: dropped },
        "too many events of tunnels wait: the oldest are lost",
      );
    }
    this.#events = [...this.#events.slice(0, this.#sending), ...kept.slice(dropped)];
  }
}
