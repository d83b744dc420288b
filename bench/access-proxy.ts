/**
 * `npm run bench:access-proxy`: what a call with a live session costs the access proxy, beside a proxy on `node:http` that does
 * nothing but forward. Each is a process of its own, both before one target, under the same load in turn.
 */
import { LOADS, type MeasurePlan, startProxies } from "./support/access-proxy.ts";
import { note, positiveNumber, runCommand, wholeNumber } from "./support/command.ts";
import { rounded } from "./support/stats.ts";
import { findTool } from "./support/tools.ts";

const NAME = "bench:access-proxy";
const HELP = `Usage: npm run ${NAME} -- [options]

Loads an access proxy that has a session with its target, and a bare node:http proxy, in turn, with bodies of 1 KiB
over 32 connections, and prints the CPU of each per request. Ends with exit code 1 where the access proxy takes more
than the limit for a POST of 1 KiB in two measurements.

Options:
  --rounds <n>     rounds (default 5)
  --seconds <n>    seconds of each load (default 2)
  --limit <ratio>  most that the access proxy may cost, the bare one being 1 (default 1.5)
  --json           print JSON
  --help           this text

Examples:
  npm run ${NAME}
  npm run ${NAME} -- --rounds 9 --seconds 3
  npm run ${NAME} -- --limit 1.4 --json
`;

const OPTIONS = {
  rounds: { type: "string", default: "5" },
  seconds: { type: "string", default: "2" },
  limit: { type: "string", default: "1.5" },
  json: { type: "boolean", default: false },
} as const;

await runCommand({ name: NAME, help: HELP, options: OPTIONS }, async (values) => {
  const rounds = wholeNumber("--rounds", values.rounds);
  const seconds = wholeNumber("--seconds", values.seconds);
  const limit = positiveNumber("--limit", values.limit);
  const proxies = await startProxies(findTool("wrk"));
  try {
    const plan: MeasurePlan = { rounds, seconds, note };
    let costs = await proxies.measure(plan);
    if (!(costs.post.ratio <= limit)) {
      note(`ratio ${costs.post.ratio.toFixed(3)}, over the limit: measured once more`);
      costs = await proxies.measure(plan);
    }
    const ok = costs.post.ratio <= limit;
    if (values.json) {
      const rows = LOADS.map((load) => {
        const { accessUs, bareUs, ratio } = costs[load];
        return [load, { access_us: accessUs, bare_us: bareUs, ratio }] as const;
      });
      const result = { rounds, seconds, ...Object.fromEntries(rows), limit, ok };
      process.stdout.write(`${JSON.stringify(result)}\n`);
    } else {
      const lines = LOADS.map((load) => {
        const { accessUs, bareUs, ratio } = costs[load];
        const name = `${load.toUpperCase()} 1 KiB`.padEnd(12);
        const judged =
          load === "post" ? ` (at most ${limit}: ${ok ? "holds" : "does not hold"})` : "";
        return `  ${name}${rounded(accessUs)} µs   bare ${rounded(bareUs)} µs   ratio ${ratio.toFixed(3)}${judged}\n`;
      });
      process.stdout.write(
        `CPU per request with a session, 32 connections, ${rounds} rounds of ${seconds} s in turn, medians\n${lines.join("")}`,
      );
    }
    if (!ok) process.exitCode = 1;
  } finally {
    await proxies.stop();
  }
});
