/**
 * The rows of a result and what each must reach. A gate is the prototype's value and a tolerance on its bad side, or a value of its
 * own; the goal is the stretch. docs/performance.md shows the same table to readers.
 */

/** One thing that a row must hold. */
export interface Condition {
  /** What is judged: Hawser's figure against the reference's, or Hawser's figure by itself. */
  readonly of: "ratio" | "hawser";
  /** The figure that is judged, where it is not the row's `main`. */
  readonly figure?: string;
  /** What a bare prototype without the product's features reached, or null where it was not measured: the gate stands at the goal. */
  readonly prototype: number | null;
  /** Share of the prototype's value by which the gate lies on its bad side. */
  readonly tolerance: number;
  /** The gate itself, where the prototype lacked what the row measures: its value would let a loss of all of it pass. */
  readonly gate?: number;
  readonly goal: number;
}

export interface Row {
  /** What is measured, for the printed table. */
  readonly title: string;
  readonly unit: string;
  /** The name of the figure in a {@link Sample} that `hawser`, `reference` and `ratio` are made of. */
  readonly main: string;
  /** What Hawser is compared with. */
  readonly against: "Go relay" | "uWebSockets.js" | "node:http" | "fixed window" | null;
  readonly better: "lower" | "higher";
  /** At least one; the first is the one that `gate` and `goal` of a result name. */
  readonly conditions: readonly [Condition, ...Condition[]];
}

/** Rows whose ratio to the Go relay is of CPU, of memory, or of a rate at full load. */
const TOLERANCE = 0.15;
/** Rows whose figure is a time or a rate of three processes on shared cores together. */
const TIME_TOLERANCE = 0.25;
/** Counts that do not jitter. */
const COUNT_TOLERANCE = 0.02;

const ratio = (prototype: number | null, goal: number, tolerance = TOLERANCE): Condition => {
  return { of: "ratio", prototype, tolerance, goal };
};
const itself = (prototype: number | null, goal: number, tolerance = TOLERANCE): Condition => {
  return { of: "hawser", prototype, tolerance, goal };
};

const perRequest = {
  unit: "CPU µs per request",
  main: "cpuUs",
  against: "Go relay",
  better: "lower",
} as const;
const perGiB = {
  unit: "CPU s per GiB",
  main: "cpuSPerGiB",
  against: "Go relay",
  better: "lower",
} as const;
const perTunnel = {
  unit: "bytes per tunnel",
  main: "rssBytes",
  against: "Go relay",
  better: "lower",
} as const;
const latency = { against: "Go relay", better: "lower", unit: "µs" } as const;
const rate = { against: "Go relay", better: "higher", unit: "MiB/s", main: "mibPerS" } as const;

const TABLE = {
  small_1dev_c128: {
    ...perRequest,
    title: "small requests, 1 device, 128 connections",
    conditions: [ratio(0.18, 0.17)],
  },
  small_100dev_c128: {
    ...perRequest,
    title: "small requests, 100 devices, 128 connections",
    conditions: [ratio(0.23, 0.2)],
  },
  small_100dev_c1: {
    ...perRequest,
    title: "small requests, 100 devices, one at a time",
    conditions: [ratio(0.26, 0.24)],
  },
  small_godev_c128: {
    ...perRequest,
    title: "small requests, a stock Go device, 128 connections",
    conditions: [ratio(0.22, 0.2)],
  },
  small_vs_direct: {
    ...perRequest,
    title: "small requests, against uWS answering by itself",
    against: "uWebSockets.js",
    conditions: [ratio(1.27, 1.3)],
  },
  rps_1dev_c32: {
    title: "requests a second, 1 device, 32 connections",
    unit: "requests/s",
    main: "rps",
    against: "Go relay",
    better: "higher",
    conditions: [ratio(4.2, 4.5, TIME_TOLERANCE)],
  },
  small_p50_c32: {
    ...latency,
    title: "latency p50, 1 device, 32 connections",
    main: "p50Us",
    conditions: [ratio(0.25, 0.23, TIME_TOLERANCE)],
  },
  small_p99_c32: {
    ...latency,
    title: "latency p99, 1 device, 32 connections",
    main: "p99Us",
    conditions: [ratio(0.12, 0.12, TIME_TOLERANCE)],
  },
  syscalls_c32: {
    title: "system calls, 1 device, 32 connections",
    unit: "calls per request",
    main: "callsPerRequest",
    against: null,
    better: "lower",
    conditions: [itself(2.16, 2.2, COUNT_TOLERANCE)],
  },
  down_1: { ...perGiB, title: "one download", conditions: [ratio(0.71, 0.55)] },
  down_8: { ...perGiB, title: "8 downloads at once", conditions: [ratio(0.71, 0.55)] },
  up_1: { ...perGiB, title: "one upload", conditions: [ratio(0.11, 0.09)] },
  up_8: { ...perGiB, title: "8 uploads at once", conditions: [ratio(0.11, 0.09)] },
  down_rate_1: {
    ...rate,
    title: "rate of one download",
    conditions: [ratio(1.2, 1.4, TIME_TOLERANCE)],
  },
  up_rate_1: {
    ...rate,
    title: "rate of one upload",
    conditions: [ratio(7.7, 8, TIME_TOLERANCE)],
  },
  api_forward: {
    ...perRequest,
    title: "small requests through the API server",
    against: "node:http",
    conditions: [ratio(2.2, 1.6)],
  },
  idle_rss: {
    ...perTunnel,
    title: "memory of an idle tunnel",
    conditions: [ratio(0.068, 0.055), itself(2_050, 1_600)],
  },
  touched_rss: {
    ...perTunnel,
    title: "memory of a tunnel after one request",
    conditions: [ratio(0.047, 0.04), itself(3_075, 2_500)],
  },
  connect_cpu: {
    title: "a tunnel set up, its token checked",
    unit: "CPU µs per tunnel",
    main: "connectCpuUs",
    against: "Go relay",
    better: "lower",
    conditions: [ratio(0.29, 0.35, TIME_TOLERANCE)],
  },
  storm: {
    title: "a fleet back after a restart",
    unit: "ms",
    main: "backMs",
    against: "Go relay",
    better: "lower",
    conditions: [
      ratio(null, 2, TIME_TOLERANCE),
      // Of live traffic once half of the fleet is back, against that of a quiet relay.
      { ...itself(null, 2, TIME_TOLERANCE), figure: "p99Ratio" },
    ],
  },
  window_100ms: {
    ...rate,
    title: "download from a Go device over a line of 100 ms",
    against: "fixed window",
    // The prototype's windows did not grow.
    conditions: [{ ...ratio(1, 8), gate: 4 }],
  },
} as const satisfies Record<string, Row>;

export type RowId = keyof typeof TABLE;

/** Every row by its id, in the order of the printed table. */
export const ROWS: Readonly<Record<RowId, Row>> = TABLE;

/** True for the id of a row. */
export function isRowId(text: string): text is RowId {
  return Object.hasOwn(TABLE, text);
}

/** The ids of all rows, in the order of the table. */
export const ROW_IDS: readonly RowId[] = Object.keys(TABLE).filter(isRowId);

/** The limit of a condition: the worst value that holds it. */
export function gateOf(condition: Condition, better: Row["better"]): number {
  const { prototype, goal, tolerance, gate } = condition;
  if (gate !== undefined) return gate;
  return (prototype ?? goal) * (better === "lower" ? 1 + tolerance : 1 - tolerance);
}
