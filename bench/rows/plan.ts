import type { Plan } from "./row.ts";

const MIB = 2 ** 20;

/** What the published figures are taken with. */
export const FULL: Plan = {
  rounds: 5,
  warmSeconds: 2,
  loadSeconds: 4,
  downBytes: 512 * MIB,
  upBytes: 128 * MIB,
  idleTunnels: 10_000,
  idleRounds: 3,
  stormDevices: 10_000,
  stormRounds: 3,
  windowBytes: 64 * MIB,
  windowRounds: 3,
};

/** Shorter, for a look. */
export const QUICK: Plan = {
  rounds: 3,
  warmSeconds: 1,
  loadSeconds: 2,
  downBytes: 256 * MIB,
  upBytes: 64 * MIB,
  idleTunnels: 5_000,
  idleRounds: 3,
  stormDevices: 5_000,
  stormRounds: 1,
  windowBytes: 16 * MIB,
  windowRounds: 1,
};

/** So short that its figures say nothing: whether everything still runs. */
export const TINY: Plan = {
  rounds: 1,
  warmSeconds: 0,
  loadSeconds: 1,
  downBytes: 8 * MIB,
  upBytes: 4 * MIB,
  idleTunnels: 50,
  idleRounds: 1,
  stormDevices: 50,
  stormRounds: 1,
  windowBytes: 2 * MIB,
  windowRounds: 1,
};

/** The plan with so many rounds of every row. */
export function withRounds(plan: Plan, rounds: number): Plan {
  return { ...plan, rounds, idleRounds: rounds, stormRounds: rounds, windowRounds: rounds };
}
