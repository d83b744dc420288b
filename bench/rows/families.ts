import { API_FORWARD_FAMILY } from "./api-forward.ts";
import { BODY_FAMILIES } from "./bodies.ts";
import { IDLE_FAMILY } from "./idle.ts";
import type { Family, RowContext, RowResult } from "./row.ts";
import { SMALL_FAMILIES } from "./small.ts";
import { STORM_FAMILY } from "./storm.ts";
import { SYSTEM_CALLS_FAMILY } from "./system-calls.ts";
import { ROW_IDS, type RowId } from "./table.ts";
import { TOUCHED_FAMILY } from "./touched.ts";
import { WINDOW_FAMILY } from "./window.ts";

/** Every load of the bench, in the order in which they run. A row belongs to one of them. */
export const FAMILIES: readonly Family[] = [
  ...SMALL_FAMILIES,
  SYSTEM_CALLS_FAMILY,
  ...BODY_FAMILIES,
  IDLE_FAMILY,
  TOUCHED_FAMILY,
  STORM_FAMILY,
  WINDOW_FAMILY,
  API_FORWARD_FAMILY,
];

/** The rows that a family measures, in the order of the table. */
export const MEASURED_IDS: readonly RowId[] = ROW_IDS.filter((id) =>
  FAMILIES.some((family) => family.ids.includes(id)),
);

/**
 * Measures rows, each load once.
 *
 * @param asked ids of {@link MEASURED_IDS}
 * @returns the rows asked for, in the order of the table
 * @throws Error when a process fails, or a run is void three times
 */
export async function measureRows(
  asked: readonly RowId[],
  context: RowContext,
): Promise<readonly RowResult[]> {
  const results: RowResult[] = [];
  for (const family of FAMILIES) {
    const ids = family.ids.filter((id) => asked.includes(id));
    if (ids.length === 0) continue;
    context.note(`running ${ids.join(", ")}`);
    results.push(...(await family.run(ids, context)));
  }
  return results.sort((one, other) => ROW_IDS.indexOf(one.id) - ROW_IDS.indexOf(other.id));
}
