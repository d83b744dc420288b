/**
 * `npm run bench:storm`: a fleet that comes back at once after its relay has ended. Relay and devices are processes of their
 * own, the API server and its SQLite database are in this one.
 */
import { parseArgs } from "node:util";
import { devicesOf } from "./support/file-limit.ts";
import { RELAY_IDS } from "./support/relays.ts";
import { runStorm, type StormResult } from "./support/storm.ts";
import { prepareTools } from "./support/tools.ts";

const HELP = `Usage: npm run bench:storm -- [options]

Connects devices to a relay that asks an API server, kills the relay, starts it again, and says how long it takes until all
are back, what that asks of the API server, how fast the API server answers others meanwhile, and how fast devices that are
back are reached, against the same on the quiet relay. Needs wrk, gcc and Go.

Options:
  --devices <n>     how many; default 10,000. Relay and devices need a file each: 15,000 is the most under a limit of 20,000
  --relay <id>      ${RELAY_IDS.join(", ")}; default hawser. The others check no token and have no API server
  --end <signal>    SIGKILL (default) or SIGTERM, which lets the relay drain first
  --handshakes <n>  handshakes a second that Hawser's relay takes, in place of its default
  --json            print JSON instead of the table
  --help            this text
`;

/** More than this many questions is a flood. */
const AUTHORIZE_CALLS_MAX = 30;

/** Every figure on a line of its own, those of a part under its name. */
function flat(part: object, prefix = ""): string[] {
  return Object.entries(part).flatMap(([name, value]: [string, unknown]) => {
    const full = prefix === "" ? name : `${prefix}.${name}`;
    if (typeof value === "object" && value !== null) return flat(value, full);
    return [`${full.padEnd(20)}${String(value).padStart(12)}`];
  });
}

function holds({ api }: StormResult): boolean {
  return api === null || (api.authorizeCalls <= AUTHORIZE_CALLS_MAX && api.probeFailures === 0);
}

const { values } = parseArgs({
  options: {
    devices: { type: "string", default: "10000" },
    relay: { type: "string", default: "hawser" },
    end: { type: "string", default: "SIGKILL" },
    handshakes: { type: "string" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(HELP);
} else {
  const relay = RELAY_IDS.find((id) => id === values.relay);
  const end = (["SIGKILL", "SIGTERM"] as const).find((signal) => signal === values.end);
  if (relay === undefined) throw new Error(`--relay: known are ${RELAY_IDS.join(", ")}`);
  if (end === undefined) throw new Error("--end takes SIGKILL or SIGTERM");
  const devices = devicesOf(values.devices, 20);
  const options =
    values.handshakes === undefined ? [] : [`--handshakes-per-second-max=${values.handshakes}`];
  const result = await runStorm(await prepareTools(), { relay, devices, end, live: true, options });
  const ok = holds(result);
  const text = values.json ? JSON.stringify({ ...result, ok }) : flat({ ...result, ok }).join("\n");
  process.stdout.write(`${text}\n`);
  process.exitCode = ok ? 0 : 1;
}
