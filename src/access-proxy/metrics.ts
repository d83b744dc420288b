import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { CallObserver, CallOutcome } from "./handler.ts";

/** Seconds: a call with a live session, one that asks ID providers, up to the longest time limit. */
const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** What counts calls of one way and result. */
interface OverMetrics {
  readonly calls: Counter.Internal;
  readonly durations: Histogram.Internal<"path">;
}

/** What {@link AccessProxyMetrics} is told. */
export interface AccessProxyMetricsOptions {
  /** Also what Node tells of the process: for one such object a process. Default true. */
  readonly withProcess?: boolean;
  readonly runningCalls: () => number;
  readonly storedSessions: () => number;
}

/** What the access proxy counts, for Prometheus. Labels have few values, all of them ours. */
export class AccessProxyMetrics implements CallObserver {
  readonly #registry = new Registry();
  readonly #calls: Counter<"path" | "result">;
  readonly #durations: Histogram<"path">;
  /** The two above by way and result, so that a call does not look labels up; as few as there are of these. */
  readonly #over = new Map<string, OverMetrics>();
  readonly #rejected: Counter<"what">;

  constructor({ withProcess = true, runningCalls, storedSessions }: AccessProxyMetricsOptions) {
    const registers = [this.#registry];
    if (withProcess) collectDefaultMetrics({ register: this.#registry });
    this.#calls = new Counter({
      name: "hawser_access_proxy_calls_total",
      help: "Calls that are over, by their way (session, mediated, retried, none) and result: relayed, gone, or the code of an error.",
      labelNames: ["path", "result"],
      registers,
    });
    this.#durations = new Histogram({
      name: "hawser_access_proxy_call_seconds",
      help: "From the beginning of a call to the end of its answer, by its way.",
      labelNames: ["path"],
      buckets: BUCKETS_S,
      registers,
    });
    this.#rejected = new Counter({
      name: "hawser_access_proxy_rejected_changes_total",
      help: "Changes of watched files that could not be used, by what they hold.",
      labelNames: ["what"],
      registers,
    });
    const gauges = {
      hawser_access_proxy_calls: ["Calls that are running.", runningCalls],
      hawser_access_proxy_sessions: ["Sessions of targets that are stored.", storedSessions],
    } as const;
    for (const [name, [help, value]] of Object.entries(gauges)) {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    }
  }

  get mediaType(): string {
    return this.#registry.contentType;
  }

  callEnded({ path, code, durationMs }: CallOutcome): void {
    const result = code ?? "relayed";
    const label = `${path} ${result}`;
    let over = this.#over.get(label);
    if (over === undefined) {
      over = {
        calls: this.#calls.labels({ path, result }),
        durations: this.#durations.labels({ path }),
      };
      this.#over.set(label, over);
    }
    over.calls.inc();
    over.durations.observe(durationMs / 1_000);
  }

  /** @param what one of a few words of ours */
  changeRejected(what: string): void {
    this.#rejected.inc({ what });
  }

  render(): Promise<string> {
    return this.#registry.metrics();
  }
}
