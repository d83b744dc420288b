/**
 * `npm run bench:storm`: a fleet that comes back at once after its relay has ended. Relay and devices are processes of their
 * own, the API server and its SQLite database are in this one.
 */
import { chosenOf, type FlagsOf, note, runCommand, wholeNumber } from "./support/command.ts";
import { devicesOf } from "./support/file-limit.ts";
import { RELAY_IDS } from "./support/relays.ts";
import { rounded } from "./support/stats.ts";
import { runStorm, type StormResult } from "./support/storm.ts";
import { prepareTools } from "./support/tools.ts";

const HELP = `Usage: npm run bench:storm -- [options]

Connects devices to a relay that asks an API server, kills the relay, starts it again, and says how long it takes until all
are back, what that asks of the API server, how fast the API server answers others meanwhile, and how fast devices that are
back are reached, against the same on the quiet relay. Needs wrk, gcc and Go.

Options:
  --devices <n>     how many; default 10,000. Relay and devices need a file each: 15,000 is the most under a limit of 20,000
  --relay <id>      ${RELAY_IDS.join(", ")}; default hawser. The others look tokens up by themselves
  --end <signal>    SIGKILL (default) or SIGTERM, which lets the relay drain first
  --handshakes <n>  handshakes a second that Hawser's relay takes, in place of its default
  --json            print JSON instead of the table
  --help            this text

Examples:
  npm run bench:storm                              10,000 devices, half a minute
  npm run bench:storm -- --relay reference         the same on the Go relay
  npm run bench:storm -- --devices 1000 --json     a small fleet, as JSON
`;

const DEVICES_LEAST = 20;
/** More than this many questions is a flood. */
const AUTHORIZE_CALLS_MAX = 30;

/** Every figure on a line of its own, those of a part under its name. */
function flat(part: object, prefix = ""): string[] {
  return Object.entries(part).flatMap(([name, value]: [string, unknown]) => {
    const full = prefix === "" ? name : `${prefix}.${name}`;
    if (typeof value === "object" && value !== null) return flat(value, full);
    const isLong = typeof value === "number" && !Number.isInteger(value);
    return [`${full.padEnd(20)}${String(isLong ? rounded(value) : value).padStart(12)}`];
  });
}

function holds({ api }: StormResult): boolean {
  return api === null || (api.authorizeCalls <= AUTHORIZE_CALLS_MAX && api.probeFailures === 0);
}

const options = {
  devices: { type: "string", default: "10000" },
  relay: { type: "string", default: "hawser" },
  end: { type: "string", default: "SIGKILL" },
  handshakes: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

async function main(flags: FlagsOf<typeof options>): Promise<void> {
  const [relay = "hawser"] = chosenOf("--relay", [flags.relay], RELAY_IDS);
  const [end = "SIGKILL"] = chosenOf("--end", [flags.end], ["SIGKILL", "SIGTERM"] as const);
  const devices = devicesOf(flags.devices, DEVICES_LEAST);
  const limit =
    flags.handshakes === undefined ? null : wholeNumber("--handshakes", flags.handshakes);
  const relayOptions = limit === null ? [] : [`--handshakes-per-second-max=${limit}`];
  const plan = { relay, devices, end, live: true, note, options: relayOptions };
  const result = await runStorm(await prepareTools(), plan);
  const ok = holds(result);
  const text = flags.json ? JSON.stringify({ ...result, ok }) : flat({ ...result, ok }).join("\n");
  process.stdout.write(`${text}\n`);
  if (!ok) process.exitCode = 1;
}

await runCommand({ name: "bench:storm", help: HELP, options }, main);
