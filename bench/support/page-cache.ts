import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";

const MIB = 2 ** 20;
/** More than the access log of one row. */
const TOUCHED_BYTES = 512 * MIB;
/** With less memory to spare than this the pages are in use all the time anyway. */
const SPARE_BYTES = 2_048 * MIB;

/**
 * Fills page cache once and gives it back. On a fresh virtual machine each page is a fault of the host when it is first
 * touched, ten times as dear as the write itself, and the relay that writes a log pays for it in the first rows only.
 *
 * @param folder on the file system that the logs go to
 */
export function touchPageCache(folder: string): void {
  if (freemem() < SPARE_BYTES) return;
  const path = join(folder, "page-cache");
  const block = Buffer.alloc(MIB);
  const file = openSync(path, "w");
  try {
    for (let written = 0; written < TOUCHED_BYTES; written += MIB) writeSync(file, block);
  } finally {
    closeSync(file);
    rmSync(path);
  }
}
