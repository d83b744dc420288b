import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";

/** A process that the bench started and ends again. */
export interface Child {
  readonly pid: number;
  /**
   * The first whole line of standard output that starts with `prefix`.
   *
   * @param limitMs for how long it is waited for; two minutes by default
   * @throws Error when the process ends first, or does not print it in time; it is stopped then
   */
  line(prefix: string, limitMs?: number): Promise<string>;
  /** Resolves when the process has ended, however it came to that. */
  readonly ended: Promise<void>;
  /** The reason of an end that nobody asked for, or null while all is well. */
  readonly failure: string | null;
  /** Ends the process and waits for it. Safe to call twice. */
  stop(): Promise<void>;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** More than any process here takes for what it has to tell. */
const LINE_LIMIT_MS = 120_000;

/** How a child is started. */
export interface ChildSpec {
  /** Names it in messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Standard output goes to this file instead of to `line()`. */
  readonly outputFile?: string;
  /** How it is asked to end: by SIGTERM, by SIGINT, or by the end of its standard input. */
  readonly endBy: "signal" | "interrupt" | "stdin";
  /** Variables beside those of this process. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Cores that it may use, as taskset takes them; null or absent for all. */
  readonly cores?: string | null;
}

/** The command line that starts a program on the given cores: taskset puts itself in its place. */
function placed(
  command: string,
  args: readonly string[],
  cores: string | null,
): [string, string[]] {
  if (cores === null) return [command, [...args]];
  return ["taskset", ["-c", cores, command, ...args]];
}

/** Starts a process. Its standard error is kept for the reason of a failure. */
export function startChild(spec: ChildSpec): Child {
  const output = spec.outputFile === undefined ? null : openSync(spec.outputFile, "w");
  const child = spawn(...placed(spec.command, spec.args, spec.cores ?? null), {
    stdio: ["pipe", output ?? "pipe", "pipe"],
    env: { ...process.env, ...spec.environment },
  });
  if (output !== null) closeSync(output);
  running.add(child);
  let text = "";
  let complaint = "";
  let stopping = false;
  let ended = false;
  let failure: string | null = null;
  // Of a process that did not start there is an error first.
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve())).then(() => {
    running.delete(child);
    ended = true;
    const how = child.signalCode ?? `exit code ${child.exitCode}`;
    if (!stopping)
      failure = `${spec.name} ended (${how}): ${complaint.trim() || "no reason given"}`;
  });
  child.on("error", (error) => {
    complaint += error.message;
  });
  child.stdin?.on("error", () => undefined);
  child.stderr?.on("data", (data: Buffer) => {
    complaint = (complaint + data.toString()).slice(-2_000);
  });
  child.stdout?.on("data", (data: Buffer) => {
    text += data.toString();
    child.emit("text");
  });
  const stop = async (): Promise<void> => {
    stopping = true;
    if (!running.has(child)) return;
    if (spec.endBy === "stdin") child.stdin?.end();
    else child.kill(spec.endBy === "signal" ? "SIGTERM" : "SIGINT");
    const kill = setTimeout(() => child.kill("SIGKILL"), 3_000);
    await closed;
    clearTimeout(kill);
  };
  return {
    pid: child.pid ?? 0,
    ended: closed,
    get failure() {
      return failure;
    },
    async line(prefix, limitMs = LINE_LIMIT_MS) {
      const limit = AbortSignal.timeout(limitMs);
      const late = once(limit, "abort");
      for (;;) {
        // What stands behind the last end of a line may go on.
        const lines = text.split("\n").slice(0, -1);
        const found = lines.find((line) => line.startsWith(prefix));
        if (found !== undefined) return found;
        if (ended) throw new Error(failure ?? `${spec.name} has ended without "${prefix}"`);
        if (limit.aborted) {
          await stop();
          throw new Error(`${spec.name} does not say "${prefix}"`);
        }
        await Promise.race([once(child, "text"), closed, late]);
      }
    },
    stop,
  };
}

/** Runs a program to its end and returns its standard output. @throws Error with its standard error */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; cores?: string | null } = {},
): Promise<string> {
  const { cores = null, ...rest } = options;
  const child = spawn(...placed(command, args, cores), {
    ...rest,
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let output = "";
  let complaint = "";
  child.stdout.on("data", (data: Buffer) => {
    output += data.toString();
  });
  child.stderr.on("data", (data: Buffer) => {
    complaint += data.toString();
  });
  child.on("error", (error) => {
    complaint += error.message;
  });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.once("close", (...ending) => resolve(ending));
  });
  running.delete(child);
  if (code !== 0) throw new Error(`${command} failed (${signal ?? code}): ${complaint.trim()}`);
  return output;
}

/** Ticks of the kernel's CPU accounting: USER_HZ is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU seconds, user and system, of all threads of a process so far, in steps of 10 ms. @see proc(5), stat */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident bytes of a process. @see proc(5), smaps_rollup */
export function residentBytes(pid: number): number {
  const match = /^Rss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"));
  if (match === null) throw new Error(`no Rss in /proc/${pid}/smaps_rollup`);
  return Number(match[1]) * 1_024;
}
