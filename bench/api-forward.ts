/** `npm run bench:forward`: the row `api_forward` alone. */
import { parseArgs } from "node:util";
import { measureApiForward } from "./rows/api-forward.ts";
import { rounded } from "./support/stats.ts";
import { prepareTools } from "./support/tools.ts";

const HELP = `Usage: npm run bench:forward -- [options]

Measures the API server's CPU for a small request that it forwards to a device for a key, beside a bare node:http
server that answers the same; 32 connections, in turn, medians.

Options:
  --rounds <n>     rounds (default 5)
  --seconds <n>    seconds of each load (default 3)
  --json           print JSON
  --help           this text
`;

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const rounds = Number(flags.rounds);
const seconds = Number(flags.seconds);
if (flags.help) {
  process.stdout.write(HELP);
} else if (![rounds, seconds].every((n) => Number.isInteger(n) && n > 0)) {
  process.stderr.write("--rounds and --seconds are whole numbers above 0\n");
  process.exitCode = 2;
} else {
  const plan = { rounds, warmSeconds: seconds, loadSeconds: seconds };
  const figures = await measureApiForward(await prepareTools(), plan, (text) => {
    process.stderr.write(`${text}\n`);
  });
  const ratio = (figures.hawser["cpuUs"] ?? 0) / (figures.reference["cpuUs"] ?? 0);
  if (flags.json) {
    process.stdout.write(`${JSON.stringify({ id: "api_forward", ...figures, ratio })}\n`);
  } else {
    for (const [name, sample] of Object.entries(figures)) {
      const cells = Object.entries<number>(sample).map(([id, value]) => `${id} ${rounded(value)}`);
      process.stdout.write(`${name.padEnd(10)} ${cells.join("  ")}\n`);
    }
    process.stdout.write(`ratio of CPU ${ratio.toFixed(2)}\n`);
  }
}
