import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../test/support/root.ts";
import { startChild } from "./child.ts";
import { type Sample, VoidRun } from "./load.ts";
import { type Tools, WORK_FOLDER } from "./tools.ts";
import type { Target } from "./verify.ts";

/** Small requests of many clients that pause between them, so that a relay with room to spare is what they find. */
export interface LiveTraffic {
  /**
   * Ends the traffic.
   *
   * @returns `rps`, `p50Us`, `p99Us`
   * @throws VoidRun when any request failed
   */
  stop(): Promise<Sample>;
  /** Ends it, whatever it was like. Safe to call twice. */
  abandon(): Promise<void>;
}

const CLIENTS = 32;
const THINK_MS = 10;
/** Longer than any run: wrk wants an end. */
const SECONDS_MAX = 600;

/** Starts 32 clients that each ask the devices in turn, some 3,000 requests a second in all, until it is stopped. */
export function startLive(
  tools: Pick<Tools, "wrk" | "pinning">,
  target: Target,
  deviceIds: readonly string[],
): LiveTraffic {
  const paths = join(WORK_FOLDER, `live-${target.port}.txt`);
  writeFileSync(paths, deviceIds.map((id) => `/d/${id}/hello\n`).join(""));
  const child = startChild({
    name: "wrk",
    command: tools.wrk,
    args: [
      ...["-t1", `-c${CLIENTS}`, `-d${SECONDS_MAX}s`, "-H", `Authorization: Bearer ${target.key}`],
      ...["-s", join(root, "bench", "support", "load.lua"), `http://127.0.0.1:${target.port}/`],
    ],
    endBy: "interrupt",
    cores: tools.pinning.load,
    environment: { HAWSER_BENCH_PATHS: paths, HAWSER_BENCH_THINK_MS: String(THINK_MS) },
  });
  return {
    async stop() {
      await child.stop();
      const line = await child.line("RESULT ");
      const result: {
        requests: number;
        seconds: number;
        p50: number;
        p99: number;
        errors: Record<string, number>;
      } = JSON.parse(line.slice("RESULT ".length));
      for (const [kind, count] of Object.entries(result.errors)) {
        if (count > 0) throw new VoidRun(`live traffic: ${count} errors of kind ${kind}`);
      }
      if (result.requests === 0) throw new VoidRun("live traffic: no request was answered");
      const { requests, seconds, p50, p99 } = result;
      return { rps: requests / seconds, p50Us: p50, p99Us: p99 };
    },
    abandon: () => child.stop(),
  };
}
