import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { root } from "../../test/support/root.ts";
import { type Child, runProgram, startChild } from "../support/child.ts";
import { WORK_FOLDER } from "../support/tools.ts";

/** Who takes the samples. `none` runs the program as it is: a scenario can be tried without the profilers. */
export type Profiler = "0x" | "clinic flame" | "clinic doctor" | "none";

/** The package of the profilers: 700 packages that an installation of Hawser goes without. */
const PACKAGE_FOLDER = join(root, "flamegraphs");
const START_MS = 30_000;
/** A profiler reads its log when the program has ended; that takes it longer than the load took. */
const END_MS = 180_000;

/** Hawser's command, of the build that this file is part of. */
export const MAIN_SCRIPT = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

/** A program that runs under a profiler. */
export interface Profiled {
  readonly pid: number;
  /** The profiler's process, or the program itself where there is none. */
  readonly child: Child;
  /** The first match of `pattern` in what it has logged. @throws Error when it ends first, or logs nothing of the kind */
  logged(pattern: RegExp): Promise<RegExpExecArray>;
  /** Ends the program and waits until the profiler has written what it found. */
  stop(): Promise<void>;
  /** Folder with the findings. */
  readonly folder: string;
}

/** Pids of programs under a profiler: killing the profiler alone would leave them behind. */
const profiled = new Set<number>();
process.on("exit", () => {
  for (const pid of profiled) kill(pid, "SIGKILL");
});

/** Installs the profilers where they are missing. No script of a package runs. */
export async function installProfilers(note: (text: string) => void): Promise<void> {
  if (existsSync(join(PACKAGE_FOLDER, "node_modules", ".package-lock.json"))) return;
  note("installing clinic and 0x into flamegraphs/node_modules, about a minute");
  await runProgram("npm", ["ci", "--ignore-scripts", "--silent"], { cwd: PACKAGE_FOLDER });
}

/**
 * Starts `node <words>` under a profiler.
 *
 * @param name names its folder of findings
 * @param words the script and its arguments; it has to log `"pid":` as Hawser's servers do
 */
export async function startProfiled(
  profiler: Profiler,
  name: string,
  words: readonly string[],
): Promise<Profiled> {
  const folder = join(WORK_FOLDER, `flame-${name}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const log = join(folder, "program.log");
  const child = startChild({
    name,
    // Profilers write where they are started. The command makes itself the program that it starts.
    command: "env",
    args: ["-C", folder, ...commandOf(profiler), process.execPath, ...words],
    outputFile: log,
    endBy: "signal",
    // clinic asks at its first start whether it may report its use, and waits for the answer.
    environment: { NO_INSIGHT: "1" },
  });
  const logged = (pattern: RegExp): Promise<RegExpExecArray> => firstMatch(child, log, pattern);
  const [, found] = await logged(/"pid":(\d+)/).catch(async (error: unknown) => {
    await child.stop();
    throw error;
  });
  const pid = Number(found);
  profiled.add(pid);
  return {
    pid,
    child,
    folder,
    logged,
    async stop() {
      kill(pid, "SIGINT");
      const startedAt = performance.now();
      while (child.failure === null && performance.now() - startedAt < END_MS) await delay(20);
      await child.stop();
      profiled.delete(pid);
    },
  };
}

/** The words before `node`. */
function commandOf(profiler: Profiler): string[] {
  const bin = (name: string): string => join(PACKAGE_FOLDER, "node_modules", ".bin", name);
  switch (profiler) {
    case "none":
      return [];
    case "0x":
      return [bin("0x"), "--silent", "--write-ticks", "--output-dir", "findings", "--"];
    case "clinic flame":
      return [bin("clinic"), "flame", "--open=false", "--dest=findings", "--"];
    case "clinic doctor":
      return [bin("clinic"), "doctor", "--open=false", "--dest=findings", "--"];
  }
}

async function firstMatch(child: Child, log: string, pattern: RegExp): Promise<RegExpExecArray> {
  for (const startedAt = performance.now(); ; await delay(20)) {
    const match = pattern.exec(readFileSync(log, "utf8"));
    if (match !== null) return match;
    if (child.failure !== null) throw new Error(child.failure);
    if (performance.now() - startedAt > START_MS) throw new Error(`nothing logged like ${pattern}`);
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/**
 * The text of what a profiler left in its folder: ticks as JSON, or the doctor's page.
 *
 * @throws Error where there is none
 */
export function findingsOf(profiler: Profiler, { folder }: Pick<Profiled, "folder">): string {
  const ending = {
    "0x": "ticks.json",
    "clinic flame": "-samples",
    "clinic doctor": ".html",
    none: "",
  };
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const found = names.find((name) => name.endsWith(ending[profiler]));
  if (profiler === "none" || found === undefined) throw new Error(`${profiler} left nothing`);
  return readFileSync(join(folder, found), "utf8");
}
