/**
 * Ends test files that hang where their own watchdog cannot run: JavaScript that spins, or a runtime that waits for itself.
 * Reads `/proc`, so does nothing where there is none.
 */
import { readdirSync, readFileSync } from "node:fs";

const LOOK_EVERY_MS = 5_000;

/** The fields of proc_pid_stat(5) that are read here, by their position after the command's name. */
const PARENT = 1;
const USER_TICKS = 11;
const SYSTEM_TICKS = 12;

interface Stat {
  readonly name: string;
  readonly fields: readonly string[];
}

/** The command's name stands in parentheses and may hold any character, parentheses too. */
function readStat(path: string): Stat | null {
  try {
    const text = readFileSync(path, "latin1");
    const end = text.lastIndexOf(")");
    return {
      name: text.slice(text.indexOf("(") + 1, end),
      fields: text.slice(end + 2).split(" "),
    };
  } catch {
    return null;
  }
}

function numbersIn(folder: string): number[] {
  try {
    return readdirSync(folder)
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

/** The ids of the processes that this process started and that live. */
export function livingChildren(): number[] {
  return numbersIn("/proc").filter((pid) => {
    const stat = readStat(`/proc/${pid}/stat`);
    return stat?.fields[PARENT] === String(process.pid);
  });
}

function readWord(path: string): string {
  try {
    return readFileSync(path, "latin1").replaceAll("\0", " ").trim();
  } catch {
    return "?";
  }
}

/** What the process runs, and what each of its threads does: state, CPU spent (in ticks of 10 ms), where it sleeps. */
export function describeProcess(pid: number): string {
  const lines = [`process ${pid}: ${readWord(`/proc/${pid}/cmdline`)}`];
  for (const thread of numbersIn(`/proc/${pid}/task`)) {
    const folder = `/proc/${pid}/task/${thread}`;
    const stat = readStat(`${folder}/stat`);
    if (stat === null) continue;
    const [state] = stat.fields;
    const ticks = Number(stat.fields[USER_TICKS]) + Number(stat.fields[SYSTEM_TICKS]);
    lines.push(
      `  thread ${thread} ${stat.name}: ${state}, ${ticks} ticks, ${readWord(`${folder}/wchan`)}`,
    );
  }
  return lines.join("\n");
}

/** Kills each child that has lived for `limitMs`, after telling what it did. Returns what ends the watch. */
export function killHungChildren(limitMs: number, tell: (text: string) => void): () => void {
  const seen = new Map<number, number>();
  const timer = setInterval(
    () => {
      const now = performance.now();
      const living = livingChildren();
      for (const pid of seen.keys()) if (!living.includes(pid)) seen.delete(pid);
      for (const pid of living) {
        const since = seen.get(pid) ?? now;
        seen.set(pid, since);
        if (now - since < limitMs) continue;
        tell(`Killed after ${limitMs / 1_000} s, it hangs: ${describeProcess(pid)}\n`);
        process.kill(pid, "SIGKILL");
      }
    },
    Math.min(LOOK_EVERY_MS, limitMs),
  );
  timer.unref();
  return () => clearInterval(timer);
}
