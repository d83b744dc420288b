import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import pg from "pg";
import { lendPort } from "./ports.ts";

/**
 * A PostgreSQL server of the tests' own, from Debian's package `postgresql`: a cluster in a temporary folder, on a
 * port of 127.0.0.1, that is gone when the test file is over. In CI a missing package fails the tests.
 */

const VERSIONS_FOLDER = "/usr/lib/postgresql";
const USER = "hawser";
const SETTINGS = [
  "listen_addresses=127.0.0.1",
  "unix_socket_directories=",
  "fsync=off",
  "shared_buffers=16MB",
  "max_connections=60",
  "deadlock_timeout=50ms",
  "lc_messages=C",
];

/** A running server. */
export interface PostgresServer {
  /** Returns a URL whose tables are seen under no other one: a schema of its own, which costs less than a database. */
  createSpace(): Promise<string>;
  stop(): Promise<void>;
}

/** The reason to skip a test that needs PostgreSQL, or false: it is there, or this is CI, which must have it. */
export function skipWithoutPostgres(): string | false {
  if (process.env["CI"] !== undefined && process.env["CI"] !== "") return false;
  return binariesFolder() === null ? "Debian's package postgresql is not on this machine" : false;
}

function binariesFolder(): string | null {
  if (!existsSync(VERSIONS_FOLDER)) return null;
  const folders = readdirSync(VERSIONS_FOLDER)
    .sort((left, right) => Number(right) - Number(left))
    .map((version) => join(VERSIONS_FOLDER, version, "bin"));
  return folders.find((folder) => existsSync(join(folder, "initdb"))) ?? null;
}

/** Starts a server. Throws where the package is missing. */
export async function startPostgres(): Promise<PostgresServer> {
  const binaries = binariesFolder();
  if (binaries === null) throw new Error("these tests want Debian's package postgresql");
  const folder = mkdtempSync(join(tmpdir(), "hawser-postgres-"));
  const password = randomBytes(12).toString("hex");
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, password, { mode: 0o600 });
  const owner = unprivilegedUser();
  if (owner !== null) {
    for (const path of [folder, passwordFile]) chownSync(path, owner.uid, owner.gid);
  }
  const identity = owner ?? {};
  const data = join(folder, "data");
  const initdb = spawn(
    join(binaries, "initdb"),
    ["-D", data, "-U", USER, "-A", "scram-sha-256", "--pwfile", passwordFile].concat([
      "--no-sync",
      "--encoding=UTF8",
      "--locale=C.UTF-8",
    ]),
    { ...identity, cwd: folder, stdio: ["ignore", "ignore", "pipe"] },
  );
  await succeeded(initdb);

  const { server, port } = await startServer(join(binaries, "postgres"), data, {
    ...identity,
    cwd: folder,
  });
  const quit = (): boolean => server.kill("SIGQUIT");
  process.once("exit", quit);
  const url = `postgres://${USER}:${password}@127.0.0.1:${port}/postgres`;
  const admin = new pg.Client(url);
  await admin.connect();
  let spaces = 0;
  return {
    async createSpace() {
      spaces += 1;
      await admin.query(`create schema test_${spaces}`);
      return `${url}?options=-csearch_path%3Dtest_${spaces}`;
    },
    async stop() {
      await admin.end();
      process.off("exit", quit);
      const closed = once(server, "close");
      // Fast shutdown: connections that are still open are cut.
      server.kill("SIGINT");
      await closed;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** PostgreSQL refuses to run as root. The package makes a user of that name. */
function unprivilegedUser(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  for (const line of readFileSync("/etc/passwd", "utf8").split("\n")) {
    const [name, , uid, gid] = line.split(":");
    if (name === "postgres") return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error("there is no user postgres to run the server as");
}

async function succeeded(child: ChildProcess): Promise<void> {
  let complaint = "";
  child.stderr?.on("data", (data: Buffer) => {
    complaint += data.toString();
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`initdb failed: ${complaint}`);
}

/** Starts the server on a port of its own. */
async function startServer(
  program: string,
  data: string,
  options: { uid?: number; gid?: number; cwd: string },
): Promise<{ server: ChildProcess; port: number }> {
  const port = await lendPort();
  const settings = [...SETTINGS, `port=${port}`].flatMap((setting) => ["-c", setting]);
  // The kernel ends it should this process die before it can.
  const words = ["--pdeathsig", "QUIT", program, "-D", data, ...settings];
  const server = spawn("setpriv", words, { ...options, stdio: ["ignore", "ignore", "pipe"] });
  const log = await logUntilReady(server.stderr);
  if (log !== "") throw new Error(`PostgreSQL did not start:\n${log}`);
  return { server, port };
}

/** Waits until the server is ready, or has ended; then it returns what it said. */
async function logUntilReady(log: Readable): Promise<string> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: log })) {
    lines.push(line);
    if (line.includes("database system is ready to accept connections")) {
      // The rest is read and dropped, or the server would wait for a reader.
      log.resume();
      return "";
    }
  }
  return lines.join("\n");
}
