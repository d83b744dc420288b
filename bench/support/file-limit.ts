import { readFileSync } from "node:fs";
import { UsageError, wholeNumber } from "./command.ts";

/** Files that a process of the bench needs beside those of its tunnels: program, libraries, logs, clients. */
export const FILES_BESIDE = 500;

/** How many files a process that this one starts may have open. @see proc(5), limits */
export function fileLimit(): number {
  const match = /^Max open files\s+(\d+|unlimited)/m.exec(
    readFileSync("/proc/self/limits", "utf8"),
  );
  if (match === null) throw new Error("no limit of open files in /proc/self/limits");
  return match[1] === "unlimited" ? Number.POSITIVE_INFINITY : Number(match[1]);
}

/**
 * Reads a number of devices, each of which is an open file of the relay and one of the process of the devices.
 *
 * @param beside files that the relay needs besides, tunnels of other devices included
 * @throws UsageError where it is no whole number from `least`, or the limit of open files is too low for it
 */
export function devicesOf(
  text: string,
  least: number,
  limit: number = fileLimit(),
  beside: number = FILES_BESIDE,
): number {
  const devices = wholeNumber("--devices", text, least);
  const files = devices + beside;
  if (files > limit) {
    throw new UsageError(
      `${devices} devices need ${files} open files in one process, and the limit is ${limit}: ` +
        `\`ulimit -n ${files}\`, or fewer devices`,
    );
  }
  return devices;
}
