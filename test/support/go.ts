import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { basename, delimiter, join } from "node:path";
import { root } from "./root.ts";

/**
 * Go programs of the tests: finds Go, builds each program once into `.build/go`, and says why a test is skipped
 * where Go is absent. In CI nothing is skipped: there a missing Go fails the test that needs it.
 */

const BUILD_FOLDER = join(root, ".build", "go");

/** The absolute path of a program, looked for on PATH and in `extra` folders, or null. */
export function findProgram(name: string, extra: readonly string[] = []): string | null {
  for (const folder of [...(process.env["PATH"] ?? "").split(delimiter), ...extra]) {
    if (folder !== "" && existsSync(join(folder, name))) return join(folder, name);
  }
  return null;
}

/** The reason to skip a test that needs `programs`, or false: all are there, or this is CI, which must have them. */
export function skipWithout(...programs: readonly string[]): string | false {
  if (process.env["CI"] !== undefined && process.env["CI"] !== "") return false;
  const missing = programs.filter((name) => findProgram(name, placesOf(name)) === null);
  return missing.length === 0 ? false : `${missing.join(" and ")} not found on this machine`;
}

function placesOf(name: string): readonly string[] {
  return name === "go" ? ["/usr/local/go/bin"] : [];
}

/** Files of one program: Go sources of one folder with go.mod and go.sum of the same or another one. */
export interface GoProgram {
  readonly sourceFolder: string;
  readonly moduleFolder: string;
}

/** The interoperability peer with one version of hashicorp/yamux. */
export type PeerVersion = "yamux-newest" | "yamux-v0.1.1";
export const PEER_VERSIONS: readonly PeerVersion[] = ["yamux-newest", "yamux-v0.1.1"];

/** Builds the peer of test/interop/go and returns the path of the program. */
export function buildPeer(version: PeerVersion): Promise<string> {
  const folder = join(root, "test", "interop", "go");
  return buildGo({ sourceFolder: join(folder, "peer"), moduleFolder: join(folder, version) });
}

/**
 * Builds a program unless the same sources have been built before.
 *
 * @returns absolute path of the program, named after its sources' digest
 * @throws Error with the compiler's output, or when Go is missing
 */
export async function buildGo(program: GoProgram): Promise<string> {
  const go = findProgram("go", placesOf("go"));
  if (go === null) throw new Error("Go is needed for this test: https://go.dev/dl");
  const files = [
    ...readdirSync(program.sourceFolder)
      .filter((name) => name.endsWith(".go"))
      .sort()
      .map((name) => join(program.sourceFolder, name)),
    join(program.moduleFolder, "go.mod"),
    join(program.moduleFolder, "go.sum"),
  ];
  const digest = createHash("sha256");
  for (const file of files) digest.update(`${basename(file)}\0`).update(readFileSync(file));
  const name = `${basename(program.moduleFolder)}-${digest.digest("hex").slice(0, 16)}`;
  const target = join(BUILD_FOLDER, name);
  if (existsSync(target)) return target;

  mkdirSync(BUILD_FOLDER, { recursive: true });
  const workFolder = mkdtempSync(join(BUILD_FOLDER, "build-"));
  try {
    for (const file of files) copyFileSync(file, join(workFolder, basename(file)));
    await run(go, ["build", "-trimpath", "-buildvcs=false", "-o", "program", "."], workFolder);
    renameSync(join(workFolder, "program"), target);
  } finally {
    rmSync(workFolder, { recursive: true, force: true });
  }
  return target;
}

async function run(command: string, args: readonly string[], cwd: string): Promise<void> {
  const child = spawn(command, args, { cwd, stdio: ["ignore", "ignore", "pipe"] });
  let complaint = "";
  child.stderr.on("data", (data: Buffer) => {
    complaint += data.toString();
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${command} ${args[0]} failed: ${complaint}`);
}
