import { mkdirSync, type Stats, statSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Makes a folder, and those above it, where they are missing; `mode` holds for each that is made.
 *
 * In place of `mkdir` with `recursive`, which never returns where a folder is missing and cannot be made, as in `/proc`.
 *
 * @returns true where this call made the folder itself
 * @throws the system's error: `EEXIST` where something that is no folder has the name, `ENOTDIR`, `EACCES`, `ENOENT` …
 */
export function makeFolder(folder: string, mode: number): boolean {
  if (isFolder(folder)) return false;
  const parent = dirname(folder);
  // What is there and no folder makes `mkdir` fail as ENOTDIR.
  if (parent !== folder && !isThere(parent)) makeFolder(parent, mode);
  try {
    mkdirSync(folder, { mode });
    return true;
  } catch (error) {
    // Another process may have been faster.
    if (isFolder(folder)) return false;
    throw error;
  }
}

/**
 * What is at a path; undefined where there is nothing, be it because something above it is no folder, which `statSync` itself
 * throws for before Node 24.
 *
 * @throws the system's error: `EACCES` …
 */
export function statIfThere(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOTDIR") return undefined;
    throw error;
  }
}

function isFolder(path: string): boolean {
  return statIfThere(path)?.isDirectory() === true;
}

function isThere(path: string): boolean {
  return statIfThere(path) !== undefined;
}
