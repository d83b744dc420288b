import { readdirSync, readFileSync } from "node:fs";

/** A process of this machine, and how it was called, its words parted by NUL. */
export interface Seen {
  readonly pid: number;
  readonly command: string;
}

/** Null where there is no such process, or only what is left of one that its parent has not asked for. @see proc(5), stat */
export function parentOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" ? null : Number(parent);
  } catch {
    return null;
  }
}

/** The processes that a process has started and that have not ended. Linux alone. */
export function childrenOf(parent: number): Seen[] {
  const pids = readdirSync("/proc").map(Number).filter(Number.isInteger);
  return pids
    .filter((pid) => parentOf(pid) === parent)
    .flatMap((pid) => {
      try {
        return [{ pid, command: readFileSync(`/proc/${pid}/cmdline`, "utf8") }];
      } catch {
        return [];
      }
    });
}
