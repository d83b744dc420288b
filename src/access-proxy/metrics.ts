import { collectDefaultMetrics, Registry } from "prom-client";
import { DurationHistogram } from "../core/duration-histogram.ts";
import { type Sample, SampledMetric } from "../core/sampled-metric.ts";
import { CALL_PATHS, type CallPath } from "./call.ts";
import type { CallObserver, CallOutcome } from "./handler.ts";

/** Upper bounds in milliseconds: a call with a live session, one that asks ID providers, up to the longest time limit. */
const BUCKETS_MS = [
  1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
] as const;

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
  /** Calls that are over by way and result; of results there are as few as codes of errors. */
  readonly #calls: Readonly<Record<CallPath, Map<string, number>>> = {
    session: new Map(),
    mediated: new Map(),
    retried: new Map(),
    none: new Map(),
  };
  readonly #durations = new DurationHistogram(BUCKETS_MS, "path", CALL_PATHS);
  readonly #rejected = new Map<string, number>();

  constructor({ withProcess = true, runningCalls, storedSessions }: AccessProxyMetricsOptions) {
    if (withProcess) collectDefaultMetrics({ register: this.#registry });
    const add = (
      kind: "counter" | "gauge" | "histogram",
      name: string,
      help: string,
      samples: () => Sample[],
    ): void => void new SampledMetric(this.#registry, kind, name, help, samples);
    add(
      "counter",
      "hawser_access_proxy_calls_total",
      "Calls that are over, by their way (session, mediated, retried, none) and result: relayed, gone, or the code of an error.",
      () => CALL_PATHS.flatMap((path) => countsBy("result", this.#calls[path], { path })),
    );
    const seconds = "hawser_access_proxy_call_seconds";
    const help = "From the beginning of a call to the end of its answer, by its way.";
    add("histogram", seconds, help, () => this.#durations.samples(seconds));
    add(
      "counter",
      "hawser_access_proxy_rejected_changes_total",
      "Changes of watched files that could not be used, by what they hold.",
      () => countsBy("what", this.#rejected),
    );
    const gauges = {
      hawser_access_proxy_calls: ["Calls that are running.", runningCalls],
      hawser_access_proxy_sessions: ["Sessions of targets that are stored.", storedSessions],
    } as const;
    for (const [name, [text, value]] of Object.entries(gauges)) {
      add("gauge", name, text, () => [{ labels: {}, value: value() }]);
    }
  }

  get mediaType(): string {
    return this.#registry.contentType;
  }

  callEnded({ path, code, durationMs }: CallOutcome): void {
    count(this.#calls[path], code ?? "relayed");
    this.#durations.observe(CALL_PATHS.indexOf(path), durationMs);
  }

  /** @param what one of a few words of ours */
  changeRejected(what: string): void {
    count(this.#rejected, what);
  }

  render(): Promise<string> {
    return this.#registry.metrics();
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function countsBy(
  label: string,
  counts: ReadonlyMap<string, number>,
  labels: Readonly<Record<string, string>> = {},
): Sample[] {
  return [...counts].map(([name, value]) => ({ labels: { ...labels, [label]: name }, value }));
}
