import { systemCalls } from "../counts/measure.ts";
import { findTool } from "../support/tools.ts";
import type { Family } from "./row.ts";

/** System calls a request: a count, so that one round says it all. */
export const SYSTEM_CALLS_FAMILY: Family = {
  ids: ["syscalls_c32"],
  async run(asked) {
    const plan = { warmBatches: 50, batches: 50, bodies: 0, windows: 0 };
    const { perRequest } = await systemCalls(findTool("strace"), plan);
    return asked.map((id) => ({ id, samples: { hawser: [{ callsPerRequest: perRequest }] } }));
  },
};
