/**
 * `npm run bench:density`: what a fleet of idle devices costs a relay, and how it comes back after the relay's end, beside the same
 * fleet on the Go baseline. docs/capacity.md says what the figures mean to an operator.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "../test/support/root.ts";
import { FULL } from "./rows/plan.ts";
import { provenance } from "./rows/report.ts";
import { runDensity } from "./support/density.ts";
import { densityFile, densityTable } from "./support/density-report.ts";
import { devicesOf } from "./support/file-limit.ts";
import { touchPageCache } from "./support/page-cache.ts";
import { RELAY_IDS, type RelayId } from "./support/relays.ts";
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
`;

const WARM_DEVICES = 500;
const DEVICES_LEAST = 20;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      devices: { type: "string", default: "10000" },
      "idle-seconds": { type: "string", default: "60" },
      relay: { type: "string", multiple: true, default: [] },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const devices = devicesOf(values.devices, DEVICES_LEAST);
  const idleSeconds = Number(values["idle-seconds"]);
  if (!(idleSeconds > 0)) throw new Error("--idle-seconds takes a number above 0");
  const unknown = values.relay.find((name) => !RELAY_IDS.some((id) => id === name));
  if (unknown !== undefined)
    throw new Error(`--relay ${unknown}: known are ${RELAY_IDS.join(", ")}`);
  const relayIds: readonly RelayId[] =
    values.relay.length === 0
      ? ["hawser", "reference"]
      : RELAY_IDS.filter((id) => values.relay.includes(id));
  const note = (text: string): void => {
    process.stderr.write(`${text}\n`);
  };
  const tools = await prepareTools();
  touchPageCache(WORK_FOLDER);
  const warmDevices = Math.min(WARM_DEVICES, devices);
  const plan = { devices, warmDevices, idleSeconds };
  const result = await runDensity({ tools, plan: FULL, relayIds, note }, plan);
  const file = densityFile(provenance(), plan, result);
  const folder = join(root, "bench", "results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "density.json"), `${JSON.stringify(file, null, 2)}\n`);
  process.stdout.write(values.json ? `${JSON.stringify(file)}\n` : densityTable(file));
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
