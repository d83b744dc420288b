import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { GATED_COUNTS, type GateId } from "./table.ts";

/** A change for the worse that is made from outside: a module that Node loads before the relay changes a method of it. */
export interface Regression {
  /** Its file in bench/gate/regressions/. */
  readonly name: string;
  readonly what: string;
  /** Measured with it in place. */
  readonly ids: readonly GateId[];
  /** These must fail, and of `ids` no others. */
  readonly fails: readonly GateId[];
}

const COUNTS = Object.keys(GATED_COUNTS).filter((id): id is keyof typeof GATED_COUNTS =>
  Object.hasOwn(GATED_COUNTS, id),
);

export const REGRESSIONS: readonly Regression[] = [
  {
    name: "copy-per-chunk",
    what: "one more copy of each received chunk",
    ids: COUNTS.filter((id) => id !== "allocated_small"),
    fails: ["copied_small", "copied_down"],
  },
  {
    name: "call-per-request",
    what: "one more system call for each request",
    ids: ["syscalls_c32", "messages_to_device", "messages_from_device", "copied_down", "copied_up"],
    fails: ["syscalls_c32"],
  },
  {
    name: "allocation-per-frame",
    what: "an object and a view for each frame",
    ids: COUNTS,
    fails: ["allocated_small"],
  },
  {
    name: "stall",
    what: "the event loop stands still for 2 ms, every four milliseconds",
    ids: ["rps_1dev_c32"],
    fails: ["rps_1dev_c32"],
  },
];

/** What the gate said of one regression. */
export interface SelftestResult {
  readonly regression: Regression;
  readonly failed: readonly string[];
  /** The exit code was 1, and exactly the right figures failed. */
  readonly ok: boolean;
}

const gate = fileURLToPath(new URL("../gate.js", import.meta.url));
const GATE_MS = 280_000;

/**
 * Runs the gate as a process of its own, as CI does, with the regression loaded into it and into every Node process that it
 * starts.
 *
 * @param ids figures to measure; those of the regression by default
 */
export async function runRegression(
  regression: Regression,
  ids: readonly GateId[] = regression.ids,
): Promise<SelftestResult> {
  const file = new URL(`./regressions/${regression.name}.js`, import.meta.url);
  const args = [gate, "--json", ...ids.flatMap((id) => ["--only", id])];
  const env = { ...process.env, NODE_OPTIONS: `--import=${file.href}` };
  const options = { env, timeout: GATE_MS, maxBuffer: 1 << 24 };
  let code: unknown = 0;
  let text: string;
  try {
    text = (await promisify(execFile)(process.execPath, args, options)).stdout;
  } catch (error) {
    if (!(error instanceof Error) || !("stdout" in error) || !("code" in error)) throw error;
    code = error.code;
    text = String(error.stdout);
    if (code !== 1) throw error;
  }
  const { failed }: { failed: string[] } = JSON.parse(text);
  const wanted = regression.fails.filter((id) => ids.includes(id));
  const isRight = failed.length === wanted.length && wanted.every((id) => failed.includes(id));
  return { regression, failed, ok: code === 1 && isRight };
}
