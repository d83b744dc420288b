import type { Sample } from "../support/load.ts";
import type { RelayId } from "../support/relays.ts";
import type { Tools } from "../support/tools.ts";
import type { RowId } from "./table.ts";

/** How long and how often. */
export interface Plan {
  readonly rounds: number;
  readonly warmSeconds: number;
  readonly loadSeconds: number;
  readonly downBytes: number;
  readonly upBytes: number;
  readonly idleTunnels: number;
  readonly idleRounds: number;
  readonly stormDevices: number;
  readonly stormRounds: number;
  readonly windowBytes: number;
  readonly windowRounds: number;
}

/** What a measurement needs from its run. */
export interface RowContext {
  readonly tools: Tools;
  readonly plan: Plan;
  /** The relays to measure, where a row is against the Go relay or the direct answer; the others measure what they compare. */
  readonly relayIds: readonly RelayId[];
  /** Told of each thing that a reader of the result should know. */
  readonly note: (text: string) => void;
}

/**
 * What one row measured: of every side the samples of its rounds, which all have the same figures. `reference` is what the row's
 * `against` names; `tuned` is shown beside and never judged.
 */
export interface RowResult {
  readonly id: RowId;
  readonly samples: Readonly<Partial<Record<RelayId, readonly Sample[]>>>;
}

/** Rows that come from one load, and the load. */
export interface Family {
  readonly ids: readonly RowId[];
  /**
   * Measures those of its rows that are asked for, with one load for all of them.
   *
   * @param asked some of `ids`, at least one
   * @throws Error when a process fails, or a run is void three times
   */
  readonly run: (asked: readonly RowId[], context: RowContext) => Promise<readonly RowResult[]>;
}
