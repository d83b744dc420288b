import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";

/** `123  recvfrom(…) = 5`, as `strace -f` writes it. */
const CALL = /^(\d+)\s+(\w+)\(/;
/** A wait that the hold interrupted. */
const INTERRUPTED = /= -1 EINTR/;
const HELD = /^(\d+)\s+--- SIGSTOP /;
const ATTACH_MS = 10_000;

/** Locks between threads: whether a call is needed for one depends on the scheduler. */
const UNCOUNTED: ReadonlySet<string> = new Set(["futex"]);

/** System calls of a process while it worked through steps. */
export interface SystemCalls {
  /**
   * Of the main thread, in the step that had the fewest: a step that was disturbed, by a timer or by a turn that saw a part
   * of its work, has more.
   */
  readonly perStep: number;
  /** The same by name, the most frequent first. */
  readonly byName: Readonly<Record<string, number>>;
}

/**
 * Traces the main thread of a process that is held once a step (SIGSTOP) while `work` runs. What the hold itself causes, an
 * interrupted wait, is not counted.
 *
 * @throws Error where the tracer may not attach
 */
export async function traceSystemCalls(
  strace: string,
  pid: number,
  file: string,
  work: () => Promise<void>,
): Promise<SystemCalls> {
  const tracer = spawn(strace, ["-f", "-o", file, "-p", String(pid)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  await attached(tracer);
  try {
    await work();
  } finally {
    const closed = once(tracer, "close");
    tracer.kill("SIGINT");
    await closed;
  }
  return countCalls(readFileSync(file, "latin1"), pid);
}

async function attached(tracer: ChildProcess): Promise<void> {
  let text = "";
  const signal = AbortSignal.timeout(ATTACH_MS);
  const { stderr } = tracer;
  if (stderr === null) throw new Error("strace has no standard error");
  while (!text.includes(" attached")) {
    const [data]: Buffer[] = await once(stderr, "data", { signal });
    text += data?.toString() ?? "";
    if (/Operation not permitted/.test(text)) throw new Error(`strace: ${text.trim()}`);
  }
  stderr.resume();
}

/** Counts what strace wrote. Exported for its test. */
export function countCalls(trace: string, pid: number): SystemCalls {
  const steps: Map<string, number>[] = [];
  for (const line of trace.split("\n")) {
    if (HELD.exec(line)?.[1] === String(pid)) steps.push(new Map());
    const [, thread, name = ""] = CALL.exec(line) ?? [];
    const step = steps.at(-1);
    if (thread !== String(pid) || step === undefined) continue;
    if (INTERRUPTED.test(line) || UNCOUNTED.has(name)) continue;
    step.set(name, (step.get(name) ?? 0) + 1);
  }
  // The last step ends with the end of the trace and not with a hold.
  steps.pop();
  const totals = steps.map((step) => [...step.values()].reduce((sum, count) => sum + count, 0));
  const perStep = Math.min(...totals);
  const fewest = steps[totals.indexOf(perStep)] ?? new Map<string, number>();
  const ordered = [...fewest].sort(([, one], [, other]) => other - one);
  return { perStep, byName: Object.fromEntries(ordered) };
}
