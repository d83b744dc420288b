/**
 * `npm run bench:storm`: a fleet that comes back at once after its relay was killed. Relay and devices are processes of their
 * own, the API server and its SQLite database are in this one.
 */
import { parseArgs } from "node:util";
import { runStorm } from "./support/storm.ts";

const HELP = `Usage: npm run bench:storm -- [options]

Connects devices to a relay that asks an API server, kills the relay, starts it again, and says how long it takes until all
are back, what that asks of the API server, and how fast the API server answers others meanwhile.

Options:
  --devices <n>   how many; default 10,000. Relay and devices need a file each: 15,000 is the most under a limit of 20,000
  --json          print JSON instead of the table
  --help          this text
`;

/** More than this many questions is a flood. */
const AUTHORIZE_CALLS_MAX = 30;

const { values } = parseArgs({
  options: {
    devices: { type: "string", default: "10000" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(HELP);
} else {
  const result = await runStorm(Number(values.devices));
  const ok = result.authorizeCalls <= AUTHORIZE_CALLS_MAX && result.probeFailures === 0;
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ ...result, ok })}\n`);
  } else {
    const rows = Object.entries({ ...result, ok }).map(
      ([name, value]) => `${name.padEnd(16)}${String(value).padStart(10)}`,
    );
    process.stdout.write(`${rows.join("\n")}\n`);
  }
  process.exitCode = ok ? 0 : 1;
}
