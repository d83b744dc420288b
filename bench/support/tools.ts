import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { findProgram } from "../../test/support/go.ts";
import { root } from "../../test/support/root.ts";
import { runProgram } from "./child.ts";

/** Where programs are built; git-ignored. */
const PROGRAM_FOLDER = join(root, ".build", "bench");
/** Where this process and the relays that it starts have their files. Left behind where the process fails: logs are there. */
export const WORK_FOLDER = join(PROGRAM_FOLDER, `run-${process.pid}`);

/** Makes {@link WORK_FOLDER}; it goes with a process that ends well. */
export function makeWorkFolder(): void {
  if (existsSync(WORK_FOLDER)) return;
  mkdirSync(WORK_FOLDER, { recursive: true });
  process.once("exit", (code) => {
    if (code === 0) rmSync(WORK_FOLDER, { recursive: true, force: true });
  });
}

/** Which cores a process may use, as taskset takes them; null for all. */
export interface Pinning {
  /** The relay, or what is measured in its place. */
  readonly relay: string | null;
  /** Devices and clients. */
  readonly load: string | null;
}

export const UNPINNED: Pinning = { relay: null, load: null };

/** Half of the cores for the relay, the other half for devices and clients. @throws Error where that cannot be */
export function pinnedByHalves(): Pinning {
  const cores = availableParallelism();
  if (cores < 2 || findProgram("taskset") === null) {
    throw new Error("pinning needs two cores and taskset (Linux, util-linux)");
  }
  const half = cores >> 1;
  return { relay: `0-${half - 1}`, load: `${half}-${cores - 1}` };
}

/** The programs of a run, by absolute path, and where they run. */
export interface Tools {
  readonly wrk: string;
  readonly device: string;
  readonly client: string;
  readonly baseline: string;
  readonly godevice: string;
  readonly pinning: Pinning;
}

const HOW_TO_INSTALL = {
  wrk: "apt-get install wrk (Debian, Ubuntu), brew install wrk",
  gcc: "apt-get install gcc libc6-dev",
  strace: "apt-get install strace",
  go: "apt-get install golang-go, or https://go.dev/dl; 1.21 or newer",
} as const;

/**
 * Finds wrk, gcc and Go and builds the C programs, the Go baseline and the Go device.
 *
 * @throws Error whose message names every missing program and how to install it
 */
export async function prepareTools(pinning: Pinning = UNPINNED): Promise<Tools> {
  const missing: string[] = [];
  const find = (name: keyof typeof HOW_TO_INSTALL, extra: readonly string[] = []): string => {
    const found = findProgram(name, extra);
    if (found === null) missing.push(`${name} is missing: ${HOW_TO_INSTALL[name]}`);
    return found ?? "";
  };
  const wrk = find("wrk");
  const gcc = find("gcc");
  const go = find("go", ["/usr/local/go/bin"]);
  if (missing.length > 0) throw new Error(missing.join("\n"));

  makeWorkFolder();
  // Put in place as a whole: another bench may be starting the same program now.
  const made = async (name: string, make: (path: string) => Promise<unknown>): Promise<string> => {
    const target = join(PROGRAM_FOLDER, name);
    const unfinished = `${target}.${process.pid}`;
    await make(unfinished);
    renameSync(unfinished, target);
    return target;
  };
  const compile = (name: string): Promise<string> =>
    made(name, (path) =>
      runProgram(gcc, ["-O2", "-o", path, join(root, "bench", "support", `${name}.c`)]),
    );
  const build = (name: string): Promise<string> =>
    made(name, (path) =>
      runProgram(go, ["build", "-trimpath", "-o", path, "."], { cwd: join(root, "bench", name) }),
    );
  const [device, client, baseline, godevice] = await Promise.all([
    compile("device"),
    compile("client"),
    build("baseline"),
    build("godevice"),
  ]);
  return { wrk, device, client, baseline, godevice, pinning };
}

/**
 * A program that some measurements alone need, by absolute path.
 *
 * @throws Error that says how to install it
 */
export function findTool(name: keyof typeof HOW_TO_INSTALL): string {
  const found = findProgram(name);
  if (found === null) throw new Error(`${name} is missing: ${HOW_TO_INSTALL[name]}`);
  return found;
}
