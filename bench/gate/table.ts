import type { RowId } from "../rows/table.ts";

/** A ratio that CI holds: where it stands, and how far one honest run may be on the bad side of that. */
export interface GatedRatio {
  /** Of a row what a bare prototype reached, or main where that is better; of the codec the middle of many runs. */
  readonly value: number;
  /** Share of the value; from runs of one build against itself, with room for a machine that others use. */
  readonly tolerance: number;
}

/** A count that does not jitter. A change in either direction beyond the precision fails. */
export interface GatedCount {
  readonly title: string;
  readonly unit: string;
  readonly value: number;
  /** Absolute. */
  readonly precision: number;
}

/** Ratios to what each row is compared with. */
export const GATED_ROWS = {
  small_1dev_c128: { value: 0.18, tolerance: 0.35 },
  small_100dev_c128: { value: 0.23, tolerance: 0.35 },
  rps_1dev_c32: { value: 4.2, tolerance: 0.5 },
  small_p50_c32: { value: 0.25, tolerance: 0.6 },
  small_p99_c32: { value: 0.12, tolerance: 2.5 },
  down_1: { value: 0.6, tolerance: 0.4 },
  down_rate_1: { value: 1.4, tolerance: 0.5 },
  up_1: { value: 0.11, tolerance: 0.4 },
  up_rate_1: { value: 7.7, tolerance: 0.6 },
  idle_rss: { value: 0.06, tolerance: 0.5 },
} as const satisfies Partial<Record<RowId, GatedRatio>>;

/** Ratios to a reference operation in the same process. How a function is compiled differs from run to run by half. */
export const GATED_MICRO = {
  header_encode: { value: 0.3, tolerance: 1 },
  header_decode: { value: 0.26, tolerance: 1 },
  decode_small: { value: 0.9, tolerance: 0.8 },
  decode_go: { value: 1.4, tolerance: 0.8 },
  decode_odd: { value: 2.7, tolerance: 0.8 },
  decode_64k: { value: 1.6, tolerance: 0.8 },
} as const satisfies Record<string, GatedRatio>;

/** Counts on Node 20, where CI runs the gate. `copied_small` is another one on Node 24, which encodes text natively. */
export const GATED_COUNTS = {
  syscalls_c32: {
    title: "system calls of the relay's loop, 32 requests at once",
    unit: "a request",
    value: 2.125,
    precision: 0.02,
  },
  messages_to_device: {
    title: "WebSocket messages to the device, 32 requests at once",
    unit: "a request",
    value: 0.03125,
    precision: 0.001,
  },
  messages_from_device: {
    title: "WebSocket messages from the device, 32 requests at once",
    unit: "a request",
    value: 0.03125,
    precision: 0.001,
  },
  copied_small: {
    title: "bytes copied in JavaScript, small request",
    unit: "bytes a request",
    value: 653.3,
    precision: 8,
  },
  copied_down: {
    title: "bytes copied in JavaScript, download",
    unit: "a byte of the body",
    value: 0.0028,
    precision: 0.01,
  },
  copied_up: {
    title: "bytes copied in JavaScript, upload",
    unit: "a byte of the body",
    value: 1.004,
    precision: 0.01,
  },
  allocated_small: {
    title: "bytes allocated on the JavaScript heap, small request",
    unit: "bytes a request",
    value: 1_530,
    precision: 110,
  },
} as const satisfies Record<string, GatedCount>;

export type GatedRowId = keyof typeof GATED_ROWS;
export type GatedMicroId = keyof typeof GATED_MICRO;
export type GatedCountId = keyof typeof GATED_COUNTS;
export type GateId = GatedRowId | GatedMicroId | GatedCountId;

const has = (table: object, id: string): boolean => Object.hasOwn(table, id);
export const isGatedRow = (id: string): id is GatedRowId => has(GATED_ROWS, id);
export const isGatedMicro = (id: string): id is GatedMicroId => has(GATED_MICRO, id);
export const isGatedCount = (id: string): id is GatedCountId => has(GATED_COUNTS, id);

/** Every gated figure: the counts first, since they are the quickest and say most. */
export const GATE_IDS: readonly GateId[] = [
  ...Object.keys(GATED_COUNTS).filter(isGatedCount),
  ...Object.keys(GATED_MICRO).filter(isGatedMicro),
  ...Object.keys(GATED_ROWS).filter(isGatedRow),
];
