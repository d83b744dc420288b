/**
 * Runs the schedules of a range of seeds against the multiplexer at a URL, and prints the first failure.
 * Started by planted-bugs.test.ts: `planted-run <url of index> <first seed> <number of schedules>`.
 */
import { Counts } from "../../support/mux/counts.ts";
import { runSchedule } from "./schedule.ts";
import type { MuxModule } from "./side.ts";

const [url = "", first = "1", schedules = "1"] = process.argv.slice(2);
const mux = (await import(url)) as MuxModule;
const counts = new Counts();
let failure: string | null = null;
let seed = Number(first);
for (const end = seed + Number(schedules); seed < end && failure === null; seed++) {
  try {
    runSchedule(mux, seed, counts);
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  }
}
process.stdout.write(`${JSON.stringify({ failure, ran: seed - Number(first) })}\n`);
