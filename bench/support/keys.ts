import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AUTHORIZE_CHECKS_MAX } from "../../src/core/contract.ts";
import { mintToken } from "../../src/core/token.ts";
import { startAuthorizer } from "./authorizer.ts";
import { type Fleet, makeFleet } from "./fleet.ts";
import { runSmall, type Sample, VoidRun } from "./load.ts";
import { type RunningRelay, startRedialingDevice, startRelay } from "./relays.ts";
import { median } from "./stats.ts";
import { type Tools, WORK_FOLDER } from "./tools.ts";
import { helloBytes, type Target } from "./verify.ts";

/** Client connections at once. */
export const CONNECTIONS = 128;
/** Of the warm-up: as many keys as a relay asks about in one call, which then does not wait for more. */
const WARM_CONNECTIONS = AUTHORIZE_CHECKS_MAX;
const WARM_SECONDS = 2;
const WARM_RUNS_MAX = 30;
const ATTEMPTS = 3;
const SECRET = "the-internal-secret-of-a-bench-on-the-loopback";

/** Medians; the ratio is that of each round by itself, since what changes on the machine meanwhile changes both. */
export interface KeyCosts {
  readonly oneUs: number;
  readonly manyUs: number;
  readonly ratio: number;
}

export interface KeyPlan {
  readonly rounds: number;
  readonly seconds: number;
  /** Is told of each run that is repeated. */
  readonly note: (text: string) => void;
}

/** A relay with one device that asks who may call, and callers with many keys. */
export interface KeyedRelay {
  measure(plan: KeyPlan): Promise<KeyCosts>;
  stop(): Promise<void>;
}

interface Figures {
  readonly one: Sample[];
  readonly many: Sample[];
}

function costsOf({ one, many }: Figures): KeyCosts {
  const ofEach = (samples: readonly Sample[]): number[] => samples.map(({ cpuUs = 0 }) => cpuUs);
  const ratios = ofEach(many).map((cost, at) => cost / (one[at]?.["cpuUs"] ?? 0));
  return { oneUs: median(ofEach(one)), manyUs: median(ofEach(many)), ratio: median(ratios) };
}

interface Load {
  readonly fleet: Fleet;
  readonly target: Target;
  readonly oneFile: string;
  readonly manyFile: string;
  /** Every key was asked about. */
  readonly isWarm: () => boolean;
}

async function measure(
  tools: Tools,
  relay: RunningRelay,
  load: Load,
  plan: KeyPlan,
): Promise<Figures> {
  const { fleet, target, oneFile, manyFile } = load;
  const answerBytes = await helloBytes(target, fleet.deviceIds[0] ?? "");
  const run = async (
    keysFile: string,
    connections = CONNECTIONS,
    seconds = plan.seconds,
  ): Promise<Sample> => {
    const { deviceIds } = fleet;
    const small = { deviceIds, connections, seconds, answerBytes, keysFile };
    for (let attempt = 1; ; attempt++) {
      try {
        return await runSmall(tools, relay, target, small);
      } catch (error) {
        if (!(error instanceof VoidRun) || attempt === ATTEMPTS) throw error;
        plan.note(`void run, repeated: ${error.message}`);
      }
    }
  };
  const figures: Figures = { one: [], many: [] };
  // The first use of each key waits for the authorizer's answer: that is not what is measured.
  for (let runs = 0; !load.isWarm(); runs++) {
    if (runs === WARM_RUNS_MAX) throw new Error("not every key was asked about in the warm-up");
    await run(manyFile, WARM_CONNECTIONS, WARM_SECONDS);
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

/** Starts the relay, what it asks and the device, for callers with so many keys. */
export async function startKeyedRelay(tools: Tools, keyCount: number): Promise<KeyedRelay> {
  const fleet = makeFleet(WORK_FOLDER, "keys", 1);
  const keys = Array.from({ length: keyCount }, () => mintToken("key"));
  const oneFile = join(WORK_FOLDER, "keys-one.txt");
  const manyFile = join(WORK_FOLDER, "keys-many.txt");
  const started: (() => unknown)[] = [];
  const stop = async (): Promise<void> => {
    for (const each of started.splice(0).reverse()) await each();
  };
  try {
    started.push(() => {
      for (const file of [oneFile, manyFile]) rmSync(file, { force: true });
    });
    writeFileSync(manyFile, keys.map(({ text }) => `${text}\n`).join(""), { mode: 0o600 });
    writeFileSync(oneFile, `${keys[0]?.text}\n`, { mode: 0o600 });
    const digests = new Map(keys.map(({ ref, secretDigest }) => [ref, secretDigest]));
    const authorizer = await startAuthorizer(fleet, digests);
    started.push(() => authorizer.close());
    const relay = await startRelay("hawser", tools, fleet, {
      gate: [`--api=${authorizer.url}`],
      environment: { HAWSER_INTERNAL_SECRET: SECRET },
    });
    started.push(() => relay.stop());
    const device = await startRedialingDevice(tools, relay, fleet.tokensFile);
    started.push(() => device.stop());
    const target: Target = { port: relay.port, key: keys[0]?.text ?? "" };
    const isWarm = (): boolean => authorizer.seen.size === keyCount;
    const load = { fleet, target, oneFile, manyFile, isWarm };
    return {
      measure: async (plan) => costsOf(await measure(tools, relay, load, plan)),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
