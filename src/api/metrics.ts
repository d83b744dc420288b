import { Counter, collectDefaultMetrics, Histogram, Registry } from "prom-client";
import type { AuditEntry } from "./context.ts";
import type { HttpObserver, RouteClass } from "./ports.ts";

/** Seconds: what a look-up in the database takes, up to the longest time limit of a request. */
const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** An event's name is a word of ours; should one ever not be, it does not become a label. */
const EVENT_NAME = /^[a-z_]{1,64}$/;

/**
 * What the API server counts, for Prometheus. Labels have few values, all of them ours: route classes, statuses, names of
 * events. None holds what a client sent, nor an id.
 */
export class ApiMetrics implements HttpObserver {
  readonly #registry = new Registry();
  readonly #requests: Counter<"class" | "status">;
  readonly #durations: Histogram<"class">;
  readonly #events: Counter<"event">;

  /** @param withProcess also what Node tells of the process: for one such object a process */
  constructor(withProcess = true) {
    const registers = [this.#registry];
    if (withProcess) collectDefaultMetrics({ register: this.#registry });
    this.#requests = new Counter({
      name: "hawser_api_requests_total",
      help: "Requests that are over, by class of their route and status; 499: the client left first.",
      labelNames: ["class", "status"],
      registers,
    });
    this.#durations = new Histogram({
      name: "hawser_api_request_seconds",
      help: "From the beginning of a request to the end of its answer, by class of its route.",
      labelNames: ["class"],
      buckets: BUCKETS_S,
      registers,
    });
    this.#events = new Counter({
      name: "hawser_api_audit_events_total",
      help: "Events of the audit log by name: sign-ins, pairings, keys, refusals.",
      labelNames: ["event"],
      registers,
    });
  }

  get mediaType(): string {
    return this.#registry.contentType;
  }

  requestOver(routeClass: RouteClass | "", status: number, totalMs: number): void {
    const name = routeClass === "" ? "none" : routeClass;
    this.#requests.inc({ class: name, status: String(status) });
    this.#durations.observe({ class: name }, totalMs / 1_000);
  }

  /** Counts an event of the audit log. */
  eventRecorded({ event }: Pick<AuditEntry, "event">): void {
    this.#events.inc({ event: EVENT_NAME.test(event) ? event : "other" });
  }

  /** The text that Prometheus reads. */
  render(): Promise<string> {
    return this.#registry.metrics();
  }
}
