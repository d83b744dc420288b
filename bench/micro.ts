/** `npm run bench:micro`: single operations of the hot path, each against a reference operation in the same run. */
import { type MicroResult, measureMicro, microBenches } from "./micro/measure.ts";
import { chosenOf, type FlagsOf, runCommand, SEVERAL, wholeNumber } from "./support/command.ts";

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

const options = {
  only: SEVERAL,
  rounds: { type: "string", default: "9" },
  json: { type: "boolean", default: false },
} as const;

async function main(flags: FlagsOf<typeof options>): Promise<void> {
  const rounds = wholeNumber("--rounds", flags.rounds);
  const benches = await microBenches();
  try {
    const ids = chosenOf(
      "--only",
      flags.only,
      benches.map(({ id }) => id),
    );
    const results = benches
      .filter(({ id }) => ids.includes(id))
      .map((bench) => measureMicro(bench, { rounds, timeMs: 40 }));
    process.stdout.write(
      flags.json
        ? `${JSON.stringify({ node: process.version, rounds, results })}\n`
        : results.map(lineOf).join(""),
    );
  } finally {
    for (const bench of benches) bench.close?.();
  }
}

function lineOf({ id, title, ns, referenceUs, ratio }: MicroResult): string {
  const cells = [ns.toFixed(1).padStart(9), referenceUs.toFixed(1).padStart(8)];
  return `${id.padEnd(24)} ${cells.join(" ns ")} µs ${ratio.toFixed(3).padStart(8)}  ${title}\n`;
}

await runCommand({ name: "bench:micro", help: HELP, options }, main);
