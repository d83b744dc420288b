import { Bench } from "tinybench";
import { median } from "../support/stats.ts";
import { authoriseBench } from "./authorise.bench.ts";
import { CODEC_BENCHES } from "./codec.bench.ts";
import { httpBenches } from "./http.bench.ts";
import { type MicroBench, REFERENCES } from "./micro-bench.ts";
import { sessionBench } from "./session.bench.ts";

/** How long and how often. */
export interface MicroPlan {
  readonly rounds: number;
  /** Of each side in each round. */
  readonly timeMs: number;
}

/** Medians of the rounds. */
export interface MicroResult {
  readonly id: string;
  readonly title: string;
  /** Nanoseconds of one operation. */
  readonly ns: number;
  /** Microseconds of one call of the reference. */
  readonly referenceUs: number;
  /** One call of the bench against one of the reference: the median of the ratios of each round. */
  readonly ratio: number;
}

/** The benches, each ready to run. Those that hold files are to be closed. */
export async function microBenches(): Promise<readonly MicroBench[]> {
  return [...CODEC_BENCHES, sessionBench(), ...httpBenches(), await authoriseBench()];
}

/**
 * Measures one bench and its reference in turn.
 *
 * @throws Error where the work is not the same each time
 */
export function measureMicro(bench: MicroBench, plan: MicroPlan): MicroResult {
  const reference = REFERENCES[bench.reference];
  const expected = bench.run();
  if (!(expected >= 0)) throw new Error(`${bench.id}: the work is wrong`);
  const times: { readonly own: number; readonly other: number }[] = [];
  // The first round compiles.
  for (let round = 0; round <= plan.rounds; round++) {
    const own = timeOf(bench.id, bench.run, plan.timeMs);
    const other = timeOf("reference", reference, plan.timeMs);
    if (round > 0) times.push({ own, other });
  }
  const again = bench.run();
  if (again !== expected) throw new Error(`${bench.id}: the work is ${again}, not ${expected}`);
  return {
    id: bench.id,
    title: bench.title,
    ns: (median(times.map(({ own }) => own)) * 1e6) / bench.operations,
    referenceUs: median(times.map(({ other }) => other)) * 1e3,
    ratio: median(times.map(({ own, other }) => own / other)),
  };
}

/** Milliseconds of the median call. */
function timeOf(name: string, run: () => number, timeMs: number): number {
  const bench = new Bench({ time: timeMs, warmup: false, iterations: 4 });
  bench.add(name, run);
  const [task] = bench.runSync();
  const result = task?.result;
  if (result?.state !== "completed")
    throw new Error(`${name} did not run: ${result?.state}`, {
      cause: result?.state === "errored" ? result.error : null,
    });
  return result.latency.p50;
}
