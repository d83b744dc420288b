import { Gauge, type MetricType, type Registry } from "prom-client";

/** One line of a scrape. */
export interface Sample {
  readonly labels: Record<string, string | number>;
  readonly value: number;
  /** Where it is not the metric's own. */
  readonly metricName?: string;
}

/**
 * A metric whose samples are computed when it is scraped. prom-client keeps the registry, the names and the text
 * format; the numbers are plain fields of whoever counts.
 */
export class SampledMetric extends Gauge {
  readonly #kind: "counter" | "gauge" | "histogram";
  readonly #samples: () => Sample[];

  constructor(
    registry: Registry,
    kind: "counter" | "gauge" | "histogram",
    name: string,
    help: string,
    samples: () => Sample[],
  ) {
    super({ name, help, registers: [registry] });
    this.#kind = kind;
    this.#samples = samples;
  }

  override async get(): ReturnType<Gauge["get"]> {
    // At run time prom-client's types are these words; its declarations say a numeric enum that does not exist.
    const type = this.#kind as unknown as MetricType;
    return { ...(await super.get()), type, values: this.#samples() };
  }
}
