/** `npm run bench:micro`: single operations of the hot path, each against a reference operation in the same run. */
import { parseArgs } from "node:util";
import { measureMicro, microBenches } from "./micro/measure.ts";

const HELP = `Usage: npm run bench:micro -- [options]

Measures single operations of the hot path in turn with reference operations, and prints medians and ratios.

Options:
  --only <id>      one bench; may be given again
  --rounds <n>     rounds of each (default 9)
  --json           print JSON
  --help           this text

Examples:
  npm run bench:micro                                     every bench
  npm run bench:micro -- --only decode_small --rounds 25  one, longer
`;

const { values: flags } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [] },
    rounds: { type: "string", default: "9" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const rounds = Number(flags.rounds);
if (flags.help) {
  process.stdout.write(HELP);
} else if (!Number.isInteger(rounds) || rounds < 1) {
  process.stderr.write("--rounds takes a whole number from 1\n");
  process.exitCode = 2;
} else {
  const benches = await microBenches();
  const ids = benches.map(({ id }) => id);
  const unknown = flags.only.find((id) => !ids.includes(id));
  if (unknown !== undefined) {
    process.stderr.write(`--only ${unknown}: known are ${ids.join(", ")}\n`);
    process.exitCode = 2;
  } else {
    const chosen = benches.filter(({ id }) => flags.only.length === 0 || flags.only.includes(id));
    const results = chosen.map((bench) => measureMicro(bench, { rounds, timeMs: 40 }));
    process.stdout.write(
      flags.json
        ? `${JSON.stringify({ node: process.version, rounds, results })}\n`
        : results
            .map(({ id, title, ns, referenceUs, ratio }) => {
              const cells = [ns.toFixed(1).padStart(9), referenceUs.toFixed(1).padStart(8)];
              return `${id.padEnd(24)} ${cells.join(" ns ")} µs ${ratio.toFixed(3).padStart(8)}  ${title}\n`;
            })
            .join(""),
    );
  }
  for (const bench of benches) bench.close?.();
}
