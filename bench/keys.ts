/**
 * `npm run bench:keys`: what the edge's look-up of a caller costs when 10,000 keys are in use, against one key. One relay
 * process, `hawser relay --api`, under both loads in turn.
 */
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { parseAuthorizeRequest } from "../src/core/authorize.ts";
import type { AuthorizeAnswer, SecretCheck } from "../src/core/contract.ts";
import { mintToken } from "../src/core/token.ts";
import { type FlagsOf, note, positiveNumber, runCommand, wholeNumber } from "./support/command.ts";
import { type Fleet, makeFleet } from "./support/fleet.ts";
import { runSmall, type Sample, VoidRun } from "./support/load.ts";
import { type RunningRelay, startRedialingDevice, startRelay } from "./support/relays.ts";
import { median, rounded } from "./support/stats.ts";
import { prepareTools, type Tools, WORK_FOLDER } from "./support/tools.ts";
import { helloBytes, type Target } from "./support/verify.ts";

const HELP = `Usage: npm run bench:keys -- [options]

Loads a relay that asks an API server who may call, with one key and with many in turn, and prints its CPU per
request with each. Ends with exit code 1 where many keys cost more than the limit in two measurements.

Options:
  --keys <n>       how many keys are many (default 10000)
  --rounds <n>     rounds (default 9)
  --seconds <n>    seconds of each load (default 4)
  --limit <ratio>  most that many keys may cost, one key being 1 (default 1.1)
  --json           print JSON
  --help           this text

Examples:
  npm run bench:keys                               10,000 keys, about 3 minutes
  npm run bench:keys -- --rounds 3 --seconds 2     a short look
`;

const CONNECTIONS = 128;
const ATTEMPTS = 3;
const WARM_RUNS_MAX = 30;
const SECRET = "the-internal-secret-of-a-bench-on-the-loopback";

interface Figures {
  readonly one: Sample[];
  readonly many: Sample[];
}

/** What the relay asks, on a port of its own. */
interface Authorizer {
  readonly url: string;
  /** Keys that were asked about at least once. */
  readonly seen: ReadonlySet<string>;
  close(): void;
}

/** Knows the fleet's devices and a list of keys, and lets all of them in. */
async function startAuthorizer(
  fleet: Fleet,
  keyDigests: ReadonlyMap<string, string>,
): Promise<Authorizer> {
  const { tokens } = fleet;
  const seen = new Set<string>();
  const isKnown = ({ ref, digest }: SecretCheck): boolean => keyDigests.get(ref) === digest;
  const answerTo = (text: string): AuthorizeAnswer => {
    const asked = parseAuthorizeRequest(text);
    if (asked === null) throw new Error("the relay asked something that is not in the contract");
    for (const { ref } of asked.keys) seen.add(ref);
    const refused = { ok: false, status: 401 } as const;
    const owner = { user_id: "bench", tenant_id: "bench" };
    return {
      tokens: asked.tokens.map((check) => {
        const token = tokens.get(check.ref);
        if (token?.digest !== check.digest) return refused;
        return { ok: true, device_id: token.deviceId, ...owner };
      }),
      keys: asked.keys.map((check) => (isKnown(check) ? { ok: true, ...owner } : refused)),
      devices: asked.devices.map((id) =>
        fleet.deviceIds.includes(id) ? { tenant_id: "bench" } : null,
      ),
      revoked: asked.recheck.filter((ref) => !tokens.has(ref)),
    };
  };
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    request.on("end", () => {
      response.setHeader("content-type", "application/json");
      // Reports of tunnels come to the same address.
      const isReport = request.url === "/internal/tunnels";
      const answer = isReport ? { taken: JSON.parse(text).events.length } : answerTo(text);
      response.end(JSON.stringify(answer));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, close };
}

async function measure(
  tools: Tools,
  relay: RunningRelay,
  load: { fleet: Fleet; target: Target; oneFile: string; manyFile: string },
  plan: { rounds: number; seconds: number; isWarm: () => boolean },
): Promise<Figures> {
  const { fleet, target, oneFile, manyFile } = load;
  const answerBytes = await helloBytes(target, fleet.deviceIds[0] ?? "");
  const run = async (keysFile: string): Promise<Sample> => {
    const { deviceIds } = fleet;
    const { seconds } = plan;
    const small = { deviceIds, connections: CONNECTIONS, seconds, answerBytes, keysFile };
    for (let attempt = 1; ; attempt++) {
      try {
        return await runSmall(tools, relay, target, small);
      } catch (error) {
        if (!(error instanceof VoidRun) || attempt === ATTEMPTS) throw error;
        note(`void run, repeated: ${error.message}`);
      }
    }
  };
  const figures: Figures = { one: [], many: [] };
  // The first use of each key waits for the authorizer's answer: that is not what is measured.
  for (let runs = 0; !plan.isWarm(); runs++) {
    if (runs === WARM_RUNS_MAX) throw new Error("not every key was asked about in the warm-up");
    await run(manyFile);
  }
  await run(manyFile);
  await run(oneFile);
  for (let round = 0; round < plan.rounds; round++) {
    // Which of the two goes first changes, so that a drift of the machine favours neither.
    const order = round % 2 === 0 ? (["one", "many"] as const) : (["many", "one"] as const);
    for (const which of order) {
      figures[which].push(await run(which === "one" ? oneFile : manyFile));
    }
  }
  return figures;
}

interface Costs {
  readonly oneUs: number;
  readonly manyUs: number;
  readonly ratio: number;
}

/** Medians; the ratio is that of each round by itself, since what changes on the machine meanwhile changes both. */
function costsOf({ one, many }: Figures): Costs {
  const ofEach = (samples: readonly Sample[]): number[] => samples.map(({ cpuUs = 0 }) => cpuUs);
  const ratios = ofEach(many).map((cost, at) => cost / (one[at]?.["cpuUs"] ?? 0));
  return { oneUs: median(ofEach(one)), manyUs: median(ofEach(many)), ratio: median(ratios) };
}

const options = {
  keys: { type: "string", default: "10000" },
  rounds: { type: "string", default: "9" },
  seconds: { type: "string", default: "4" },
  limit: { type: "string", default: "1.1" },
  json: { type: "boolean", default: false },
} as const;

async function main(flags: FlagsOf<typeof options>): Promise<void> {
  const keyCount = wholeNumber("--keys", flags.keys);
  const rounds = wholeNumber("--rounds", flags.rounds);
  const seconds = wholeNumber("--seconds", flags.seconds);
  const limit = positiveNumber("--limit", flags.limit);
  const tools = await prepareTools();
  const fleet = makeFleet(WORK_FOLDER, "keys", 1);
  const keys = Array.from({ length: keyCount }, () => mintToken("key"));
  const oneFile = join(WORK_FOLDER, "keys-one.txt");
  const manyFile = join(WORK_FOLDER, "keys-many.txt");
  writeFileSync(manyFile, keys.map(({ text }) => `${text}\n`).join(""), { mode: 0o600 });
  writeFileSync(oneFile, `${keys[0]?.text}\n`, { mode: 0o600 });
  const digests = new Map(keys.map(({ ref, secretDigest }) => [ref, secretDigest]));
  const authorizer = await startAuthorizer(fleet, digests);
  const relay = await startRelay("hawser", tools, fleet, {
    gate: [`--api=${authorizer.url}`],
    environment: { HAWSER_INTERNAL_SECRET: SECRET },
  });
  const device = await startRedialingDevice(tools, relay, fleet.tokensFile);
  try {
    const target: Target = { port: relay.port, key: keys[0]?.text ?? "" };
    const load = { fleet, target, oneFile, manyFile };
    const isWarm = (): boolean => authorizer.seen.size === keyCount;
    const plan = { rounds, seconds, isWarm };
    let costs = costsOf(await measure(tools, relay, load, plan));
    if (costs.ratio > limit) {
      note(`ratio ${costs.ratio.toFixed(3)}, over the limit: measured once more`);
      costs = costsOf(await measure(tools, relay, load, plan));
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
    await device.stop();
    await relay.stop();
    authorizer.close();
    for (const file of [oneFile, manyFile]) rmSync(file, { force: true });
  }
}

await runCommand({ name: "bench:keys", help: HELP, options }, main);
