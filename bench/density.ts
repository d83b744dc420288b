/**
 * `npm run bench:density`: what a fleet of idle devices costs a relay, and how it comes back after the relay's end, beside the same
 * fleet on the Go baseline. docs/capacity.md says what the figures mean to an operator.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../test/support/root.ts";
import { FULL } from "./rows/plan.ts";
import { provenance } from "./rows/report.ts";
import {
  chosenOf,
  type FlagsOf,
  note,
  positiveNumber,
  runCommand,
  SEVERAL,
} from "./support/command.ts";
import { runDensity } from "./support/density.ts";
import { densityFile, densityTable } from "./support/density-report.ts";
import { devicesOf, FILES_BESIDE, fileLimit } from "./support/file-limit.ts";
import { touchPageCache } from "./support/page-cache.ts";
import { RELAY_IDS } from "./support/relays.ts";
import { prepareTools, WORK_FOLDER } from "./support/tools.ts";

const HELP = `Usage: npm run bench:density -- [options]

Connects devices to Hawser's relay and to the Go baseline, and measures what they cost while nothing happens: memory, JavaScript
heap, CPU with pings, connects a second. Then the relay is killed, and asked to stop, with all of them connected, and the
time is taken until all are back, with the latency of requests meanwhile. Writes bench/results/density.json. Needs wrk, gcc
and Go. Leave the machine alone meanwhile; about 4 minutes.

Options:
  --devices <n>       how many (default 10000). Relay and devices need a file each: some 15,000 at most under a limit of
                      20,000, which a relay shares with its clients
  --idle-seconds <n>  for how long the CPU of the idle fleet is measured (default 60, twice the pause between pings)
  --relay <id>        measure only these relays (${RELAY_IDS.join(", ")}); may be given again. Default: hawser, reference
  --json              print the JSON instead of the table
  --help              this text

Examples:
  npm run bench:density                                        10,000 devices on both relays
  npm run bench:density -- --devices 1000 --idle-seconds 10    a short look
`;

const WARM_DEVICES = 500;
const DEVICES_LEAST = 20;

const options = {
  devices: { type: "string", default: "10000" },
  "idle-seconds": { type: "string", default: "60" },
  relay: SEVERAL,
  json: { type: "boolean", default: false },
} as const;

async function main(flags: FlagsOf<typeof options>): Promise<void> {
  const devices = devicesOf(flags.devices, DEVICES_LEAST, fileLimit(), FILES_BESIDE + WARM_DEVICES);
  const idleSeconds = positiveNumber("--idle-seconds", flags["idle-seconds"]);
  const relayIds = chosenOf("--relay", flags.relay, RELAY_IDS, ["hawser", "reference"]);
  const tools = await prepareTools();
  touchPageCache(WORK_FOLDER);
  const warmDevices = Math.min(WARM_DEVICES, devices);
  const plan = { devices, warmDevices, idleSeconds };
  const result = await runDensity({ tools, plan: FULL, relayIds, note }, plan);
  const file = densityFile(provenance(), plan, result);
  const folder = join(root, "bench", "results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "density.json"), `${JSON.stringify(file, null, 2)}\n`);
  process.stdout.write(flags.json ? `${JSON.stringify(file)}\n` : densityTable(file));
}

await runCommand({ name: "bench:density", help: HELP, options }, main);
