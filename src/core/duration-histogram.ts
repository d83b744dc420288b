import type { Sample } from "./sampled-metric.ts";

/** Counts of durations by the values of one label: buckets, then count; sums beside it. Nothing is allocated to observe one. */
export class DurationHistogram {
  readonly #boundsMs: readonly number[];
  readonly #label: string;
  readonly #values: readonly string[];
  readonly #counts: Float64Array;
  readonly #sumsMs: Float64Array;

  /**
   * @param boundsMs upper bounds of the buckets in milliseconds, ascending, so that the search ends early for the fast ones
   * @param label its values are those of `values`
   */
  constructor(boundsMs: readonly number[], label: string, values: readonly string[]) {
    this.#boundsMs = boundsMs;
    this.#label = label;
    this.#values = values;
    this.#counts = new Float64Array(values.length * (boundsMs.length + 1));
    this.#sumsMs = new Float64Array(values.length);
  }

  /** @param index of the label's value */
  observe(index: number, ms: number): void {
    const bounds = this.#boundsMs;
    let bucket = 0;
    while (bucket < bounds.length && ms > (bounds[bucket] ?? 0)) bucket++;
    const at = index * (bounds.length + 1) + bucket;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sumsMs[index] = (this.#sumsMs[index] ?? 0) + ms;
  }

  /** In seconds, as Prometheus wants them. @param name of the metric */
  samples(name: string): Sample[] {
    const out: Sample[] = [];
    const bounds = this.#boundsMs;
    for (const [index, value] of this.#values.entries()) {
      const labels = { [this.#label]: value };
      let seen = 0;
      for (let bucket = 0; bucket <= bounds.length; bucket++) {
        seen += this.#counts[index * (bounds.length + 1) + bucket] ?? 0;
        const bound = bounds[bucket];
        const le = bound === undefined ? "+Inf" : bound / 1_000;
        out.push({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: seen });
      }
      const sum = (this.#sumsMs[index] ?? 0) / 1_000;
      out.push({ metricName: `${name}_sum`, labels, value: sum });
      out.push({ metricName: `${name}_count`, labels, value: seen });
    }
    return out;
  }
}
