/**
 * `npm run bench:keys`: what the edge's look-up of a caller costs when 10,000 keys are in use, against one key. One relay
 * process, `hawser relay --api`, under both loads in turn.
 */
import { type FlagsOf, note, positiveNumber, runCommand, wholeNumber } from "./support/command.ts";
import { CONNECTIONS, type KeyPlan, startKeyedRelay } from "./support/keys.ts";
import { rounded } from "./support/stats.ts";
import { prepareTools } from "./support/tools.ts";

const HELP = `Usage: npm run bench:keys -- [options]

Loads a relay that asks an API server who may call, with one key and with many in turn, and prints its CPU per
request with each. Ends with exit code 1 where many keys cost more than the limit in two measurements.

Options:
  --keys <n>       how many keys are many (default 10000)
  --rounds <n>     rounds (default 15)
  --seconds <n>    seconds of each load (default 2)
  --limit <ratio>  most that many keys may cost, one key being 1 (default 1.1)
  --json           print JSON
  --help           this text

Examples:
  npm run bench:keys                               10,000 keys, a minute and a half
  npm run bench:keys -- --rounds 3                 a short look
`;

const options = {
  keys: { type: "string", default: "10000" },
  rounds: { type: "string", default: "15" },
  seconds: { type: "string", default: "2" },
  limit: { type: "string", default: "1.1" },
  json: { type: "boolean", default: false },
} as const;

async function main(flags: FlagsOf<typeof options>): Promise<void> {
  const keyCount = wholeNumber("--keys", flags.keys);
  const rounds = wholeNumber("--rounds", flags.rounds);
  const seconds = wholeNumber("--seconds", flags.seconds);
  const limit = positiveNumber("--limit", flags.limit);
  const tools = await prepareTools();
  const relay = await startKeyedRelay(tools, keyCount);
  try {
    const plan: KeyPlan = { rounds, seconds, note };
    let costs = await relay.measure(plan);
    if (costs.ratio > limit) {
      note(`ratio ${costs.ratio.toFixed(3)}, over the limit: measured once more`);
      costs = await relay.measure(plan);
    }
    const { oneUs, manyUs, ratio } = costs;
    const ok = ratio <= limit;
    const result = { keys: keyCount, rounds, one_us: oneUs, many_us: manyUs, ratio, limit, ok };
    process.stdout.write(
      flags.json
        ? `${JSON.stringify(result)}\n`
        : `Relay CPU per request, ${CONNECTIONS} connections, 1 device, ${rounds} rounds of ${seconds} s in turn, medians\n` +
            `  1 key         ${rounded(oneUs)} µs\n  ${`${keyCount} keys`.padEnd(12)}  ${rounded(manyUs)} µs\n` +
            `  ratio         ${ratio.toFixed(3)} (at most ${limit}: ${ok ? "holds" : "does not hold"})\n`,
    );
    if (!ok) process.exitCode = 1;
  } finally {
    await relay.stop();
  }
}

await runCommand({ name: "bench:keys", help: HELP, options }, main);
