import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../test/support/root.ts";
import { cpuSeconds, runProgram } from "./child.ts";
import { type Tools, WORK_FOLDER } from "./tools.ts";
import type { Target } from "./verify.ts";

/** A run that counts for nothing, because something in it failed. */
export class VoidRun extends Error {}

/** Figures of one run, by name. */
export type Sample = Readonly<Record<string, number>>;

interface WrkResult {
  readonly requests: number;
  readonly seconds: number;
  readonly bytes: number;
  readonly p50: number;
  readonly p99: number;
  readonly errors: Readonly<Record<string, number>>;
}

/** The process that is measured, and where it listens on loopback. */
export interface Measured {
  /** Names it in messages. */
  readonly id: string;
  readonly pid: number;
  readonly port: number;
}

/** Small requests over many connections. */
export interface SmallLoad {
  /** Whose small answer is asked for, at a relay's edge; request by request the next one. */
  readonly deviceIds: readonly string[];
  /** What is asked for instead, in turn. */
  readonly paths?: readonly string[];
  readonly connections: number;
  readonly seconds: number;
  /** Bytes of one right answer, to notice answers of another size. */
  readonly answerBytes: number;
  /** By how much right answers differ in size, at most: numbers in their heads. Default 0. */
  readonly spreadBytes?: number;
  /** A key on each line; request by request the next one. Absent for the target's one key. */
  readonly keysFile?: string;
}

/** What wrk is run with. */
export interface WrkLoad {
  /** Its load script, one of this folder, which prints a result. */
  readonly script: string;
  readonly connections: number;
  readonly seconds: number;
  /** More options of wrk. */
  readonly options?: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Bytes of one right answer with its head; absent where the script looks at each answer. */
  readonly answerBytes?: number;
  /** By how much right answers differ from that, at most; default 0. */
  readonly spreadBytes?: number;
}

/**
 * Loads a server with wrk and reads what it cost.
 *
 * @returns `cpuUs` of the server's process a request, `rps`, `p50Us`, `p99Us`
 * @throws VoidRun on any error, timeout, status of 400 and more, or answer of another size
 */
export async function runWrk(
  tools: Pick<Tools, "wrk" | "pinning">,
  server: Measured,
  load: WrkLoad,
): Promise<Sample> {
  const { script, connections, seconds, options = [], env, answerBytes } = load;
  const before = cpuSeconds(server.pid);
  const output = await runProgram(
    tools.wrk,
    [
      ...["-t1", `-c${connections}`, `-d${seconds}s`],
      ...options,
      ...["-s", join(root, "bench", "support", script)],
      `http://127.0.0.1:${server.port}/`,
    ],
    { env, cores: tools.pinning.load },
  );
  const cpu = cpuSeconds(server.pid) - before;
  const line = /^RESULT (.*)$/m.exec(output)?.[1];
  if (line === undefined) throw new VoidRun("wrk printed no result");
  const result: WrkResult = JSON.parse(line);
  for (const [kind, count] of Object.entries(result.errors)) {
    if (count > 0) throw new VoidRun(`${server.id}: ${count} errors of kind ${kind}`);
  }
  if (result.requests === 0) throw new VoidRun(`${server.id}: no request was answered`);
  if (answerBytes !== undefined && !isWhole(result, { ...load, answerBytes })) {
    const { requests, bytes } = result;
    throw new VoidRun(`${server.id}: ${bytes} bytes in ${requests} answers of ${answerBytes} each`);
  }
  return {
    cpuUs: (cpu * 1e6) / result.requests,
    rps: result.requests / result.seconds,
    p50Us: result.p50,
    p99Us: result.p99,
  };
}

/** Whether wrk read as many bytes as so many right answers have, and at most the beginning of one more on each connection. */
function isWhole(
  { requests, bytes }: Pick<WrkResult, "requests" | "bytes">,
  load: Pick<WrkLoad, "connections" | "spreadBytes"> & { readonly answerBytes: number },
): boolean {
  const { connections, answerBytes, spreadBytes = 0 } = load;
  const beyond = bytes - requests * answerBytes;
  const spread = requests * spreadBytes;
  return beyond >= -spread && beyond < spread + connections * answerBytes;
}

/**
 * Loads a server with small requests.
 *
 * @returns `cpuUs` of the server's process a request, `rps`, `p50Us`, `p99Us`
 * @throws VoidRun on any error, timeout, status of 400 and more, or wrong number of bytes
 */
export async function runSmall(
  tools: Pick<Tools, "wrk" | "pinning">,
  relay: Measured,
  target: Target,
  load: SmallLoad,
): Promise<Sample> {
  const paths = join(WORK_FOLDER, "paths.txt");
  const asked = load.paths ?? load.deviceIds.map((id) => `/d/${id}/hello`);
  writeFileSync(paths, asked.map((path) => `${path}\n`).join(""));
  return runWrk(tools, relay, {
    script: "load.lua",
    connections: load.connections,
    seconds: load.seconds,
    options: load.keysFile === undefined ? ["-H", `Authorization: Bearer ${target.key}`] : [],
    env: loadEnvironment(paths, load.keysFile),
    answerBytes: load.answerBytes,
    spreadBytes: load.spreadBytes ?? 0,
  });
}

function loadEnvironment(paths: string, keysFile: string | undefined): NodeJS.ProcessEnv {
  const keys = keysFile === undefined ? {} : { HAWSER_BENCH_KEYS: keysFile };
  return { ...process.env, HAWSER_BENCH_PATHS: paths, ...keys };
}

/** Large bodies, one after another on each connection. */
export interface BodyLoad {
  readonly deviceId: string;
  readonly mode: "down" | "up";
  readonly bodyBytes: number;
  readonly seconds: number;
  /** Clients at once, each a process with one connection. */
  readonly clients: number;
}

/**
 * Moves bodies through a relay with checking clients and reads what it cost.
 *
 * @returns `cpuSPerGiB` of the relay, `mibPerS`
 * @throws VoidRun when the client found anything wrong
 */
export async function runBodies(
  tools: Tools,
  relay: Measured,
  target: Target,
  load: BodyLoad,
): Promise<Sample> {
  const client = async (): Promise<{ bytes: number; seconds: number }> => {
    const args = [
      ...["--relay", `127.0.0.1:${relay.port}`, "--path", `/d/${load.deviceId}`],
      ...["--key", target.key, "--mode", load.mode],
      ...["--bytes", String(load.bodyBytes), "--seconds", String(load.seconds)],
    ];
    const cores = tools.pinning.load;
    const output = await runProgram(tools.client, args, { cores }).catch((error: unknown) => {
      throw new VoidRun(`${relay.id}: ${error instanceof Error ? error.message : String(error)}`);
    });
    return JSON.parse(output);
  };
  const before = cpuSeconds(relay.pid);
  // Every client ends before the CPU is read, or before a void run is repeated.
  const settled = await Promise.allSettled(Array.from({ length: load.clients }, client));
  const cpu = cpuSeconds(relay.pid) - before;
  let bytes = 0;
  let bytesPerS = 0;
  for (const result of settled) {
    if (result.status === "rejected") throw result.reason;
    bytes += result.value.bytes;
    bytesPerS += result.value.bytes / result.value.seconds;
  }
  return { cpuSPerGiB: cpu / (bytes / 2 ** 30), mibPerS: bytesPerS / 2 ** 20 };
}
