import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startProxyProcess, USERS } from "../../test/support/access-proxy/process.ts";
import { type Child, startChild } from "./child.ts";
import { type Measured, runWrk, type Sample, VoidRun } from "./load.ts";
import { median } from "./stats.ts";
import { makeWorkFolder, UNPINNED, WORK_FOLDER } from "./tools.ts";

/** What is sent: 1 KiB comes back in both cases, and goes out with a POST. */
export type Load = "post" | "get";
export const LOADS: readonly Load[] = ["post", "get"];

/** The access proxy, and a proxy that does nothing but forward. */
export type ProxyId = "access" | "bare";

/** Medians; the ratio is that of each round by itself, since what changes on the machine meanwhile changes both. */
export interface Costs {
  readonly accessUs: number;
  readonly bareUs: number;
  readonly ratio: number;
}

export interface MeasurePlan {
  readonly rounds: number;
  readonly seconds: number;
  /** Is told of each run that is repeated. */
  readonly note: (text: string) => void;
}

/** Both proxies before one target, each a process of its own. */
export interface Proxies {
  measure(plan: MeasurePlan): Promise<Readonly<Record<Load, Costs>>>;
  stop(): Promise<void>;
}

const CONNECTIONS = 32;
const ATTEMPTS = 3;

async function startServer(
  file: string,
  args: readonly string[] = [],
): Promise<Measured & { readonly child: Child }> {
  const child = startChild({
    name: file,
    command: process.execPath,
    args: [fileURLToPath(new URL(`${file}.js`, import.meta.url)), ...args],
    endBy: "stdin",
  });
  const line = await child.line("listens ");
  return { id: file, pid: child.pid, port: Number(line.split(" ")[1]), child };
}

/** Starts the target and the two proxies; the access proxy has a live session with the target. @param wrk its path */
export async function startProxies(wrk: string): Promise<Proxies> {
  makeWorkFolder();
  const folder = mkdtempSync(join(WORK_FOLDER, "access-proxy-"));
  const closing: (() => unknown)[] = [() => rmSync(folder, { recursive: true })];
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close();
  };
  try {
    const target = await startServer("access-proxy-target");
    closing.push(() => target.child.stop());
    const bare = await startServer("bare-proxy", [String(target.port)]);
    closing.push(() => bare.child.stop());
    const origin = `http://127.0.0.1:${target.port}`;
    const access = await startProxyProcess({ folder, origin, hasSession: true });
    closing.push(() => access.stop());
    return { measure: measuring(wrk, origin, { access: { id: "access", ...access }, bare }), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** @param origin of the target */
function measuring(
  wrk: string,
  origin: string,
  servers: Readonly<Record<ProxyId, Measured>>,
): Proxies["measure"] {
  const run = async (proxy: ProxyId, load: Load, plan: MeasurePlan): Promise<number> => {
    const env = {
      ...process.env,
      HAWSER_BENCH_METHOD: load.toUpperCase(),
      HAWSER_BENCH_TARGET: `${origin}/x`,
      HAWSER_BENCH_USERS: USERS,
    };
    const script = { script: "access-proxy.lua", connections: CONNECTIONS, env };
    for (let attempt = 1; ; attempt++) {
      try {
        const tools = { wrk, pinning: UNPINNED };
        const sample: Sample = await runWrk(tools, servers[proxy], { ...script, ...plan });
        return sample["cpuUs"] ?? Number.NaN;
      } catch (error) {
        if (!(error instanceof VoidRun) || attempt === ATTEMPTS) throw error;
        plan.note(`void run, repeated: ${error.message}`);
      }
    }
  };

  return async (plan) => {
    const costs = { post: { access: [], bare: [] }, get: { access: [], bare: [] } } as Record<
      Load,
      Record<ProxyId, number[]>
    >;
    for (const load of LOADS) {
      for (const proxy of ["access", "bare"] as const) await run(proxy, load, plan);
    }
    for (let round = 0; round < plan.rounds; round++) {
      // Which of the two goes first changes, so that a drift of the machine favours neither.
      const order = round % 2 === 0 ? (["access", "bare"] as const) : (["bare", "access"] as const);
      for (const load of LOADS) {
        for (const proxy of order) costs[load][proxy].push(await run(proxy, load, plan));
      }
    }
    return { post: costsOf(costs.post), get: costsOf(costs.get) };
  };
}

function costsOf({ access, bare }: Readonly<Record<ProxyId, readonly number[]>>): Costs {
  const ratios = access.map((cost, at) => cost / (bare[at] ?? Number.NaN));
  return { accessUs: median(access), bareUs: median(bare), ratio: median(ratios) };
}
