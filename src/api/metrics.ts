import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { AuditEntry } from "./context.ts";
import type { IdpCallKind, IdpCallResult, IdpObserver } from "./oidc/index.ts";
import type { HttpObserver, RouteClass } from "./ports.ts";

/** Seconds: what a look-up in the database takes, up to the longest time limit of a request. */
const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** An event's name is a word of ours; should one ever not be, it does not become a label. */
const EVENT_NAME = /^[a-z_]{1,64}$/;
/** Ways in which sign-ins may end that become labels: more than there are codes of failures. */
const SIGN_IN_RESULTS_MAX = 64;

/** What counts requests of one class and status. */
interface OverMetrics {
  readonly status: string;
  /** Since they were last read. */
  count: number;
  readonly durations: Histogram.Internal<"class">;
}

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
  readonly #requests: Counter<"class" | "status">;
  readonly #durations: Histogram<"class">;
  /** The two above by class and status, so that a request does not look labels up; as few as there are of these. */
  readonly #over = new Map<string, Map<number, OverMetrics>>();
  readonly #events: Counter<"event">;
  readonly #signIns: Counter<"result">;
  readonly #signInResults = new Set<string>();
  readonly #idpCalls: Counter<"kind" | "result">;

  constructor({ withProcess = true, liveSessions }: ApiMetricsOptions = {}) {
    const registers = [this.#registry];
    if (withProcess) collectDefaultMetrics({ register: this.#registry });
    this.#requests = new Counter({
      name: "hawser_api_requests_total",
      help: "Requests that are over, by class of their route and status; 499: the client left first.",
      labelNames: ["class", "status"],
      registers,
      collect: () => this.#addRequests(),
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
    const name = routeClass === "" ? "none" : routeClass;
    const over = this.#over.get(name)?.get(status) ?? this.#overOf(name, status);
    over.count += 1;
    over.durations.observe(totalMs / 1_000);
  }

  #overOf(name: string, status: number): OverMetrics {
    const over = {
      status: String(status),
      count: 0,
      durations: this.#durations.labels({ class: name }),
    };
    const byStatus = this.#over.get(name) ?? new Map<number, OverMetrics>();
    byStatus.set(status, over);
    this.#over.set(name, byStatus);
    return over;
  }

  /** What was counted here since it was last read. */
  #addRequests(): void {
    for (const [name, byStatus] of this.#over) {
      for (const over of byStatus.values()) {
        this.#requests.inc({ class: name, status: over.status }, over.count);
        over.count = 0;
      }
    }
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
