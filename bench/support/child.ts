import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";

/** A process that the bench started and ends again. */
export interface Child {
  readonly pid: number;
  /** Resolves with the first line of standard output that starts with `prefix`; rejects if the process ends first. */
  line(prefix: string): Promise<string>;
  /** The reason of an end that nobody asked for, or null while all is well. */
  readonly failure: string | null;
  /** Ends the process and waits for it. Safe to call twice. */
  stop(): Promise<void>;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** How a child is started. */
export interface ChildSpec {
  /** Names it in messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Standard output goes to this file instead of to `line()`. */
  readonly outputFile?: string;
  /** How it is asked to end: by a signal, or by the end of its standard input. */
  readonly endBy: "signal" | "stdin";
  /** Variables beside those of this process. */
  readonly environment?: NodeJS.ProcessEnv;
}

/** Starts a process. Its standard error is kept for the reason of a failure. */
export function startChild(spec: ChildSpec): Child {
  const output = spec.outputFile === undefined ? null : openSync(spec.outputFile, "w");
  const child = spawn(spec.command, spec.args, {
    stdio: ["pipe", output ?? "pipe", "pipe"],
    env: { ...process.env, ...spec.environment },
  });
  if (output !== null) closeSync(output);
  running.add(child);
  let text = "";
  let complaint = "";
  let stopping = false;
  let failure: string | null = null;
  const closed = once(child, "close").then(() => {
    running.delete(child);
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
  return {
    pid: child.pid ?? 0,
    get failure() {
      return failure;
    },
    async line(prefix) {
      for (;;) {
        const found = text.split("\n").find((line) => line.startsWith(prefix));
        if (found !== undefined) return found;
        if (failure !== null) throw new Error(failure);
        await Promise.race([once(child, "text"), closed]);
      }
    },
    async stop() {
      stopping = true;
      if (!running.has(child)) return;
      if (spec.endBy === "signal") child.kill("SIGTERM");
      else child.stdin?.end();
      const kill = setTimeout(() => child.kill("SIGKILL"), 3_000);
      await closed;
      clearTimeout(kill);
    },
  };
}

/** Runs a program to its end and returns its standard output. @throws Error with its standard error */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
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
  const [code, signal] = await once(child, "close");
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
