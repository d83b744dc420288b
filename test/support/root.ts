import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Absolute path of the repository, found by climbing from this file to the folder whose package.json
 * names `hawser`. Works from the sources and from any build folder alike.
 */
export const root: string = findRoot(dirname(fileURLToPath(import.meta.url)));

function findRoot(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    if (packageName(folder) === "hawser") return folder;
    if (folder === dirname(folder)) throw new Error(`no package.json of hawser above ${start}`);
  }
}

function packageName(folder: string): unknown {
  try {
    const parsed: { name?: unknown } = JSON.parse(
      readFileSync(join(folder, "package.json"), "utf8"),
    );
    return parsed.name;
  } catch {
    return undefined;
  }
}
