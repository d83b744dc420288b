import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "../../test/support/go.ts";
import { root } from "../../test/support/root.ts";
import { runProgram } from "./child.ts";

/** Where programs are built and runs leave their files; git-ignored. */
export const WORK_FOLDER = join(root, ".build", "bench");

/** The programs of a run, by absolute path. */
export interface Tools {
  readonly wrk: string;
  readonly device: string;
  readonly client: string;
  readonly baseline: string;
}

const HOW_TO_INSTALL = {
  wrk: "apt-get install wrk (Debian, Ubuntu), brew install wrk",
  gcc: "apt-get install gcc libc6-dev",
  strace: "apt-get install strace",
  go: "apt-get install golang-go, or https://go.dev/dl; 1.21 or newer",
} as const;

/**
 * Finds wrk, gcc and Go and builds the C programs and the Go baseline.
 *
 * @throws Error whose message names every missing program and how to install it
 */
export async function prepareTools(): Promise<Tools> {
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
  const baseline = join(WORK_FOLDER, "baseline");
  const build = runProgram(go, ["build", "-trimpath", "-o", baseline, "."], {
    cwd: join(root, "bench", "baseline"),
  });
  const [device, client] = await Promise.all([compile("device"), compile("client"), build]);
  return { wrk, device, client, baseline };
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
