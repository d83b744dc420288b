import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../test/support/root.ts";
import type { ResultFile } from "../rows/report.ts";
import { isRowId, type RowId } from "../rows/table.ts";
import type { JudgedRow } from "../rows/verdict.ts";
import type { DensityFigure, DensityFile } from "./density-report.ts";

/** Where a run leaves its figures; git-ignored. */
export const RESULTS_FOLDER = join(root, "bench", "results");
/** Where the figures of a release are kept beside the charts that are drawn from them. */
export const RELEASE_FOLDER = join(root, "docs", "charts");
/** The files of figures in either folder. */
export const FIGURE_FILES = ["latest.json", "density.json"] as const;

/** The figures of one checkout on one machine. */
export interface Figures {
  readonly rows: ResultFile;
  readonly density: DensityFile;
}

/** Hawser's figure and that of the Go relay; null where one was not measured. */
export type Pair = readonly [hawser: number | null, reference: number | null];

/**
 * Reads the figures of a folder.
 *
 * @throws Error where a file is missing or has another schema, with the command that makes it
 */
export function readFigures(folder: string): Figures {
  const rows = readJson<ResultFile>(folder, "latest.json", 2, "npm run bench");
  const density = readJson<DensityFile>(folder, "density.json", 1, "npm run bench:density");
  const unknown = rows.rows.find(({ id }) => !isRowId(id));
  if (unknown !== undefined) throw new Error(`latest.json has an unknown row ${unknown.id}`);
  return { rows, density };
}

function readJson<T extends { readonly schema: number }>(
  folder: string,
  name: (typeof FIGURE_FILES)[number],
  schema: number,
  command: string,
): T {
  let file: T;
  try {
    file = JSON.parse(readFileSync(join(folder, name), "utf8"));
  } catch (error) {
    throw new Error(`${join(folder, name)} cannot be read: make it by \`${command}\``, {
      cause: error,
    });
  }
  if (file.schema !== schema) {
    throw new Error(
      `${join(folder, name)} has schema ${file.schema}, not ${schema}: \`${command}\``,
    );
  }
  return file;
}

/** A row's compared figure, or one beside it. */
export function rowPair({ rows }: Figures, id: RowId, figure: string | null = null): Pair {
  const row: JudgedRow | undefined = rows.rows.find((each) => each.id === id);
  if (row === undefined) return [null, null];
  if (figure === null) return [row.hawser, row.reference];
  const more = row.more[figure];
  return [more?.hawser ?? null, more?.reference ?? null];
}

/** A figure of the density run. */
export function densityPair({ density }: Figures, figure: DensityFigure): Pair {
  const { hawser, reference } = density.relays;
  return [hawser?.[figure] ?? null, reference?.[figure] ?? null];
}
