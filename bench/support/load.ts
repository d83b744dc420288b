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
  readonly deviceIds: readonly string[];
  readonly connections: number;
  readonly seconds: number;
  /** Bytes of one right answer, to notice answers of another size. */
  readonly answerBytes: number;
  /** A key on each line; request by request the next one. Absent for the target's one key. */
  readonly keysFile?: string;
}

/** Largest difference between the bytes that wrk read and those of as many right answers: those in flight. */
const BYTES_TOLERANCE = 0.02;

/**
 * Loads a relay with wrk and reads what it cost.
 *
 * @returns `cpuUs` of the relay a request, `rps`, `p50Us`, `p99Us`
 * @throws VoidRun on any error, timeout, status of 400 and more, or wrong number of bytes
 */
export async function runSmall(
  tools: Tools,
  relay: Measured,
  target: Target,
  load: SmallLoad,
): Promise<Sample> {
  const paths = join(WORK_FOLDER, "paths.txt");
  writeFileSync(paths, load.deviceIds.map((id) => `/d/${id}/hello\n`).join(""));
  const before = cpuSeconds(relay.pid);
  const output = await runProgram(
    tools.wrk,
    [
      "-t1",
      `-c${load.connections}`,
      `-d${load.seconds}s`,
      ...(load.keysFile === undefined ? ["-H", `Authorization: Bearer ${target.key}`] : []),
      "-s",
      join(root, "bench", "support", "load.lua"),
      `http://127.0.0.1:${relay.port}/`,
    ],
    { env: loadEnvironment(paths, load.keysFile), cores: tools.pinning.load },
  );
  const cpu = cpuSeconds(relay.pid) - before;
  const line = /^RESULT (.*)$/m.exec(output)?.[1];
  if (line === undefined) throw new VoidRun("wrk printed no result");
  const result: WrkResult = JSON.parse(line);
  for (const [kind, count] of Object.entries(result.errors)) {
    if (count > 0) throw new VoidRun(`${relay.id}: ${count} errors of kind ${kind}`);
  }
  if (result.requests === 0) throw new VoidRun(`${relay.id}: no request was answered`);
  const size = result.bytes / result.requests;
  if (Math.abs(size / load.answerBytes - 1) > BYTES_TOLERANCE) {
    throw new VoidRun(`${relay.id}: ${size.toFixed(1)} bytes an answer, not ${load.answerBytes}`);
  }
  return {
    cpuUs: (cpu * 1e6) / result.requests,
    rps: result.requests / result.seconds,
    p50Us: result.p50,
    p99Us: result.p99,
  };
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
