import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ApiStack, startApiStack } from "../support/api-stack.ts";
import { type Child, startChild } from "../support/child.ts";
import { type Measured, runSmall, type Sample, VoidRun } from "../support/load.ts";
import { startRedialingDevice } from "../support/relays.ts";
import { helloBytes, type Target } from "../support/verify.ts";
import type { Family, RowContext, RowResult } from "./row.ts";
import type { RowId } from "./table.ts";

const CONNECTIONS = 32;
const ATTEMPTS = 3;
/** The API server still compiles what it runs after the first seconds of load. */
const WARM_RUNS = 2;
/** Digits that come and go in the two numbers of a key's limit, which each answer of the API server has. */
const LIMIT_DIGITS = 2;
const helloServer = fileURLToPath(new URL("../support/hello-server.js", import.meta.url));

/** The API server's CPU for a small request that it forwards to a device for a key, beside a bare `node:http` server. */
export const API_FORWARD_FAMILY: Family = { ids: ["api_forward"], run: runApiForward };

async function runApiForward(
  asked: readonly RowId[],
  { tools, plan, note }: RowContext,
): Promise<readonly RowResult[]> {
  const stack = await startApiStack(({ token, port, folder }) => {
    const tokensFile = join(folder, "tokens");
    writeFileSync(tokensFile, `${token}\n`, { mode: 0o600 });
    return startRedialingDevice(tools, { port }, tokensFile);
  });
  let hello: Child | null = null;
  try {
    hello = startChild({
      name: "hello server",
      command: process.execPath,
      args: [helloServer],
      endBy: "stdin",
    });
    const port = Number((await hello.line("listens ")).split(" ")[1]);
    const contestants = [
      await contestant("hawser", stack.api, `/api/devices/${stack.deviceId}/http/hello`, stack),
      await contestant("reference", { pid: hello.pid, port }, "/", stack),
    ] as const;
    const run = async (to: Contestant, seconds: number): Promise<Sample> => {
      const { answerBytes, path } = to;
      const spreadBytes = to.id === "hawser" ? LIMIT_DIGITS : 0;
      const size = { answerBytes, spreadBytes };
      const small = { deviceIds: [], paths: [path], connections: CONNECTIONS, seconds, ...size };
      for (let attempt = 1; ; attempt++) {
        try {
          return await runSmall(tools, to, to.target, small);
        } catch (error) {
          if (!(error instanceof VoidRun) || attempt === ATTEMPTS) throw error;
          note(`void run, repeated: ${error.message}`);
        }
      }
    };
    const samples = { hawser: [] as Sample[], reference: [] as Sample[] };
    for (let count = 0; plan.warmSeconds > 0 && count < WARM_RUNS; count++) {
      for (const to of contestants) await run(to, plan.warmSeconds);
    }
    for (let round = 0; round < plan.rounds; round++) {
      for (const to of contestants) samples[to.id].push(await run(to, plan.loadSeconds));
    }
    stack.check();
    return asked.map((id) => ({ id, samples }));
  } finally {
    await hello?.stop();
    await stack.stop();
  }
}

interface Contestant extends Measured {
  readonly id: "hawser" | "reference";
  readonly path: string;
  readonly target: Target;
  readonly answerBytes: number;
}

/** Asks once, so that an answer of another kind ends the bench here and not as a void run. */
async function contestant(
  id: Contestant["id"],
  server: { readonly pid: number; readonly port: number },
  path: string,
  { key }: Pick<ApiStack, "key">,
): Promise<Contestant> {
  const { port } = server;
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    headers: { authorization: `Bearer ${key}` },
  });
  const text = await answer.text();
  if (answer.status !== 200 || text !== "Hello, world!") {
    throw new Error(`${id}: ${path} answers ${answer.status}: ${text.slice(0, 500)}`);
  }
  const target: Target = { port, key };
  return { id, ...server, path, target, answerBytes: await helloBytes(target, "", path) };
}
