import type { Registry } from "prom-client";
import { DurationHistogram } from "../core/duration-histogram.ts";
import type { Stage } from "../core/errors.ts";
import type { Sample } from "../core/sampled-metric.ts";
import { FRONT_NAMES } from "./access-log.ts";

/**
 * Upper bounds of the duration buckets, in milliseconds. Half a millisecond is what a small request takes on one
 * host; a minute is the default limit of the first byte.
 */
const BUCKETS_MS = [
  0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
] as const;
/** Statuses have three digits; anything else is counted as 0. */
const STATUSES = 600;

const STAGES: readonly Stage[] = [
  "no_device",
  "offline",
  "limited",
  "overloaded",
  "open",
  "first_byte",
  "mid_stream",
  "request",
];

/** Different codes counted apart; a device picks its close code, and must not make labels without end. */
const CODES_MAX = 32;

/** Adds one to the count of `code`, or to that of 0, "other", once there are many codes. */
function bump(counts: Map<number, number>, code: number): void {
  const known = counts.get(code);
  if (known !== undefined) counts.set(code, known + 1);
  else if (counts.size < CODES_MAX) counts.set(code, 1);
  else counts.set(0, (counts.get(0) ?? 0) + 1);
}

interface Metric {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly name: string;
  readonly help: string;
  readonly samples: () => Sample[];
}

/** What a scrape is answered. */
export interface Scrape {
  readonly contentType: string;
  readonly text: string;
}

/**
 * The relay's numbers. The hot path increments plain fields and array cells; names, labels and text are made when
 * somebody scrapes.
 */
export class RelayMetrics {
  /** Connected tunnels, displaced ones that still drain included. */
  tunnels = 0;
  /** Streams opened to devices, and requests that took an idle one instead. */
  streamsOpened = 0;
  streamsReused = 0;
  /** Waiting requests whose device came. */
  holdsServed = 0;
  /** Raw streams of the internal API. */
  rawStreams = 0;
  /** Bytes of WebSocket messages, from devices and to devices. */
  tunnelBytesIn = 0;
  tunnelBytesOut = 0;

  #displaced = 0;
  #retried = 0;
  #held = 0;
  #tunnelsOpened = 0;
  readonly #tunnelsClosed = new Map<number, number>();
  readonly #handshakesRefused = new Map<number, number>();
  readonly #byStatus = new Float64Array(2 * STATUSES);
  readonly #byStage = new Map<Stage, number>();
  readonly #bytesIn = new Float64Array(2);
  readonly #bytesOut = new Float64Array(2);
  readonly #firstByte = new DurationHistogram(BUCKETS_MS, "front", FRONT_NAMES);
  readonly #total = new DurationHistogram(BUCKETS_MS, "front", FRONT_NAMES);
  /** Metrics that the registry has not got yet. */
  #unregistered: Metric[] = [];
  /** Made by the first scrape. */
  #registry: Registry | null = null;
  #elu = performance.eventLoopUtilization();

  constructor() {
    this.#registerRequests();
    this.#registerTunnels();
    this.#registerProcess();
  }

  /**
   * One request is over.
   *
   * @param front 0 the edge, 1 the internal API
   * @param stage where it failed, null where it did not
   * @param bytesIn body bytes from the client, `bytesOut` to it
   * @param firstByteMs negative where no response head came
   */
  observeRequest(
    front: 0 | 1,
    status: number,
    stage: Stage | null,
    bytesIn: number,
    bytesOut: number,
    firstByteMs: number,
    totalMs: number,
  ): void {
    const at = front * STATUSES + (status >= 100 && status < STATUSES ? status : 0);
    this.#byStatus[at] = (this.#byStatus[at] ?? 0) + 1;
    this.#bytesIn[front] = (this.#bytesIn[front] ?? 0) + bytesIn;
    this.#bytesOut[front] = (this.#bytesOut[front] ?? 0) + bytesOut;
    if (firstByteMs >= 0) this.#firstByte.observe(front, firstByteMs);
    this.#total.observe(front, totalMs);
    if (stage !== null) this.#byStage.set(stage, (this.#byStage.get(stage) ?? 0) + 1);
  }

  tunnelOpened(): void {
    this.tunnels++;
    this.#tunnelsOpened++;
  }

  /** @param code WebSocket close code as seen at the end of the connection; 1006 for none */
  tunnelClosed(code: number): void {
    this.tunnels--;
    bump(this.#tunnelsClosed, code);
  }

  /** A newer connection of the same device replaced a tunnel. */
  displaced(): void {
    this.#displaced++;
  }

  /** A request is sent a second time, because the device had not taken the first. */
  retried(): void {
    this.#retried++;
  }

  /** A request waits for an absent device. */
  held(): void {
    this.#held++;
  }

  /** A device was answered `status` and not 101. */
  handshakeRefused(status: number): void {
    bump(this.#handshakesRefused, status);
  }

  /** Adds a value that somebody else keeps: read when scraped. The name starts with `hawser_relay_`. */
  addGauge(name: string, help: string, read: () => number): void {
    this.#add("gauge", name, help, () => [{ labels: {}, value: read() }]);
  }

  /** The same for a count, which only grows. */
  addCounter(name: string, help: string, read: () => number): void {
    this.#add("counter", name, help, () => [{ labels: {}, value: read() }]);
  }

  /**
   * Answers a scrape. prom-client is loaded with the first one: it brings eighty modules, and a relay that starts has
   * to listen first.
   */
  async render(): Promise<Scrape> {
    const [{ Registry }, { SampledMetric }] = await Promise.all([
      import("prom-client"),
      import("../core/sampled-metric.ts"),
    ]);
    this.#registry ??= new Registry();
    for (const { kind, name, help, samples } of this.#unregistered.splice(0)) {
      new SampledMetric(this.#registry, kind, name, help, samples);
    }
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  #add(kind: Metric["kind"], name: string, help: string, samples: () => Sample[]): void {
    this.#unregistered.push({ kind, name, help, samples });
  }

  #byFront(name: string, help: string, values: Float64Array): void {
    this.#add("counter", name, help, () =>
      FRONT_NAMES.map((front, index) => ({ labels: { front }, value: values[index] ?? 0 })),
    );
  }

  #statusSamples(): Sample[] {
    const out: Sample[] = [];
    for (const front of [0, 1] as const) {
      for (let status = 0; status < STATUSES; status++) {
        const value = this.#byStatus[front * STATUSES + status] ?? 0;
        if (value > 0) out.push({ labels: { front: FRONT_NAMES[front], status }, value });
      }
    }
    return out;
  }

  #registerRequests(): void {
    const requests = "hawser_relay_requests_total";
    this.#add("counter", requests, "Requests finished, by front and status.", () =>
      this.#statusSamples(),
    );
    const failures = "hawser_relay_request_failures_total";
    this.#add("counter", failures, "Requests that failed, by stage.", () =>
      STAGES.map((stage) => ({ labels: { stage }, value: this.#byStage.get(stage) ?? 0 })),
    );
    const first = "hawser_relay_first_byte_seconds";
    this.#add("histogram", first, "From the request's head to the response's head.", () =>
      this.#firstByte.samples(first),
    );
    const total = "hawser_relay_request_seconds";
    this.#add("histogram", total, "From the request's head to the end of the response.", () =>
      this.#total.samples(total),
    );
    this.#byFront("hawser_relay_request_bytes_total", "Body bytes from clients.", this.#bytesIn);
    this.#byFront("hawser_relay_response_bytes_total", "Body bytes to clients.", this.#bytesOut);
    this.addCounter("hawser_relay_retries_total", "Requests sent again.", () => this.#retried);
    this.addCounter(
      "hawser_relay_holds_total",
      "Requests that waited for a device.",
      () => this.#held,
    );
    this.addCounter(
      "hawser_relay_holds_served_total",
      "Waiting requests whose device came.",
      () => this.holdsServed,
    );
  }

  #registerTunnels(): void {
    this.addGauge("hawser_relay_tunnels", "Connected tunnels.", () => this.tunnels);
    this.addCounter(
      "hawser_relay_tunnels_opened_total",
      "Tunnels opened.",
      () => this.#tunnelsOpened,
    );
    this.#add("counter", "hawser_relay_tunnels_closed_total", "Tunnels closed, by code.", () =>
      [...this.#tunnelsClosed].map(([code, value]) => ({ labels: { code }, value })),
    );
    this.addCounter(
      "hawser_relay_tunnels_displaced_total",
      "Tunnels that a newer connection of the same device replaced.",
      () => this.#displaced,
    );
    const refused = "hawser_relay_handshakes_refused_total";
    this.#add("counter", refused, "Devices not let in, by status.", () =>
      [...this.#handshakesRefused].map(([status, value]) => ({ labels: { status }, value })),
    );
    this.addCounter(
      "hawser_relay_streams_opened_total",
      "Streams opened to devices.",
      () => this.streamsOpened,
    );
    this.addCounter(
      "hawser_relay_streams_reused_total",
      "Requests that took an idle stream.",
      () => this.streamsReused,
    );
    this.addCounter(
      "hawser_relay_raw_streams_total",
      "Raw streams of the internal API.",
      () => this.rawStreams,
    );
    this.addCounter(
      "hawser_relay_tunnel_received_bytes_total",
      "Bytes of messages from devices.",
      () => this.tunnelBytesIn,
    );
    this.addCounter(
      "hawser_relay_tunnel_sent_bytes_total",
      "Bytes of messages to devices.",
      () => this.tunnelBytesOut,
    );
  }

  /** What a scrape can read at no cost between scrapes: no timer, no observer. */
  #registerProcess(): void {
    this.addCounter("process_cpu_seconds_total", "CPU time of the process.", () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    });
    this.addGauge("process_resident_memory_bytes", "Resident memory.", () =>
      process.memoryUsage.rss(),
    );
    this.addGauge("process_start_time_seconds", "Start of the process, Unix time.", () =>
      Math.round(performance.timeOrigin / 1_000),
    );
    this.addGauge("nodejs_heap_used_bytes", "Heap in use.", () => process.memoryUsage().heapUsed);
    this.addGauge("nodejs_external_memory_bytes", "Memory bound to the heap.", () => {
      const { external } = process.memoryUsage();
      return external;
    });
    this.addGauge(
      "nodejs_eventloop_utilization",
      "Share of time that the event loop was busy since the last scrape.",
      () => {
        const now = performance.eventLoopUtilization();
        const { utilization } = performance.eventLoopUtilization(now, this.#elu);
        this.#elu = now;
        return utilization;
      },
    );
  }
}
