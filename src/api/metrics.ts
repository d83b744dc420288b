import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { DurationHistogram } from "../core/duration-histogram.ts";
import { type Sample, SampledMetric } from "../core/sampled-metric.ts";
import type { AuditEntry } from "./context.ts";
import type { IdpCallKind, IdpCallResult, IdpObserver } from "./oidc/index.ts";
import { type HttpObserver, ROUTE_CLASSES, type RouteClass } from "./ports.ts";

/** Upper bounds in milliseconds: what a look-up in the database takes, up to the longest time limit of a request. */
const BUCKETS_MS = [
  1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000,
] as const;
/** Values of the label `class`; the last one is that of requests for which there is no route. */
const CLASSES: readonly string[] = [...ROUTE_CLASSES, "none"];

/** An event's name is a word of ours; should one ever not be, it does not become a label. */
const EVENT_NAME = /^[a-z_]{1,64}$/;
/** Ways in which sign-ins may end that become labels: more than there are codes of failures. */
const SIGN_IN_RESULTS_MAX = 64;

/** What {@link ApiMetrics} is told. */
export interface ApiMetricsOptions {
  /** Also what Node tells of the process: for one such object a process. Default true. */
  readonly withProcess?: boolean;
  /** Sessions that are live now; may reject. Not told where it is left out. */
  readonly liveSessions?: () => Promise<number>;
}

/**
 * What the API server counts, for Prometheus. Labels have few values, all of them ours: route classes, statuses, names of
 * events. None holds what a client sent, nor an id.
 */
export class ApiMetrics implements HttpObserver, IdpObserver {
  readonly #registry = new Registry();
  /** Requests by class, in the order of `CLASSES`, and status: as few as there are of these. */
  readonly #requests = CLASSES.map(() => new Map<number, number>());
  readonly #durations = new DurationHistogram(BUCKETS_MS, "class", CLASSES);
  readonly #events: Counter<"event">;
  readonly #signIns: Counter<"result">;
  readonly #signInResults = new Set<string>();
  readonly #idpCalls: Counter<"kind" | "result">;

  constructor({ withProcess = true, liveSessions }: ApiMetricsOptions = {}) {
    const registers = [this.#registry];
    if (withProcess) collectDefaultMetrics({ register: this.#registry });
    const total =
      "Requests that are over, by class of their route and status; 499: the client left first.";
    new SampledMetric(this.#registry, "counter", "hawser_api_requests_total", total, () =>
      this.#requestSamples(),
    );
    const seconds = "hawser_api_request_seconds";
    const help = "From the beginning of a request to the end of its answer, by class of its route.";
    new SampledMetric(this.#registry, "histogram", seconds, help, () =>
      this.#durations.samples(seconds),
    );
    this.#events = new Counter({
      name: "hawser_api_audit_events_total",
      help: "Events of the audit log by name: sign-ins, pairings, keys, refusals.",
      labelNames: ["event"],
      registers,
    });
    this.#signIns = new Counter({
      name: "hawser_api_sign_ins_total",
      help: "Sign-ins that ended, by result: ok, or the code of what went wrong.",
      labelNames: ["result"],
      registers,
    });
    this.#idpCalls = new Counter({
      name: "hawser_api_idp_calls_total",
      help: "Calls to identity providers, by what for (discovery, keys, token, userinfo) and result.",
      labelNames: ["kind", "result"],
      registers,
    });
    if (liveSessions !== undefined) addSessionGauge(this.#registry, liveSessions);
  }

  get mediaType(): string {
    return this.#registry.contentType;
  }

  requestOver(routeClass: RouteClass | "", status: number, totalMs: number): void {
    const index = CLASSES.indexOf(routeClass === "" ? "none" : routeClass);
    const byStatus = this.#requests[index];
    byStatus?.set(status, (byStatus.get(status) ?? 0) + 1);
    this.#durations.observe(index, totalMs);
  }

  #requestSamples(): Sample[] {
    return this.#requests.flatMap((byStatus, index) =>
      [...byStatus].map(([status, value]) => ({
        labels: { class: CLASSES[index] ?? "", status },
        value,
      })),
    );
  }

  /** Counts an event of the audit log. */
  eventRecorded({ event, detail }: Pick<AuditEntry, "event" | "detail">): void {
    this.#events.inc({ event: EVENT_NAME.test(event) ? event : "other" });
    if (event === "authn_login_success") this.#signInOver("ok");
    if (event === "authn_login_fail") this.#signInOver(String(detail?.["reason"]).toLowerCase());
  }

  idpCalled(kind: IdpCallKind, result: IdpCallResult): void {
    this.#idpCalls.inc({ kind, result });
  }

  #signInOver(result: string): void {
    const known = this.#signInResults;
    const isLabel = EVENT_NAME.test(result) && known.size < SIGN_IN_RESULTS_MAX;
    if (isLabel) known.add(result);
    this.#signIns.inc({ result: known.has(result) ? result : "other" });
  }

  /** The text that Prometheus reads. */
  render(): Promise<string> {
    return this.#registry.metrics();
  }
}

function addSessionGauge(registry: Registry, liveSessions: () => Promise<number>): void {
  new Gauge({
    name: "hawser_api_login_sessions",
    help: "Login sessions that are live, of all API servers on this database; NaN where it cannot be asked.",
    registers: [registry],
    async collect() {
      this.set(await liveSessions().catch(() => Number.NaN));
    },
  });
}
