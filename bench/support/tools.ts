import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { findProgram } from "../../test/support/go.ts";
import { root } from "../../test/support/root.ts";
import { runProgram } from "./child.ts";

/** Where programs are built and runs leave their files; git-ignored. */
export const WORK_FOLDER = join(root, ".build", "bench");

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

  mkdirSync(WORK_FOLDER, { recursive: true });
  const compile = async (name: string): Promise<string> => {
    const target = join(WORK_FOLDER, name);
    await runProgram(gcc, ["-O2", "-o", target, join(root, "bench", "support", `${name}.c`)]);
    return target;
  };
  const build = async (name: string): Promise<string> => {
    const target = join(WORK_FOLDER, name);
    const cwd = join(root, "bench", name);
    await runProgram(go, ["build", "-trimpath", "-o", target, "."], { cwd });
    return target;
  };
  const [device, client, baseline, godevice] = await Promise.all([
    compile("device"),
    compile("client"),
    build("baseline"),
    build("godevice"),
  ]);
  return { wrk, device, client, baseline, godevice, pinning };
}
