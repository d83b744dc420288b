import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { lendPort } from "../../test/support/ports.ts";
import { root } from "../../test/support/root.ts";
import { type Child, startChild } from "./child.ts";
import type { Fleet } from "./fleet.ts";
import { type Tools, WORK_FOLDER } from "./tools.ts";

/** The relays that can be measured. `tuned` is the baseline with 64 KiB buffers, shown beside and never gated. */
export type RelayId = "hawser" | "reference" | "tuned";
export const RELAY_IDS: readonly RelayId[] = ["hawser", "reference", "tuned"];

/** A relay that accepts connections on loopback. */
export interface RunningRelay {
  readonly id: RelayId;
  readonly pid: number;
  readonly port: number;
  readonly child: Child;
  stop(): Promise<void>;
}

const START_MS = 10_000;

/**
 * Starts a relay as a process of its own, with its defaults, and waits until it accepts connections.
 *
 * @param gate what says who may connect and call, for Hawser's relay, in place of the fleet's credentials file
 */
export async function startRelay(
  id: RelayId,
  tools: Pick<Tools, "baseline">,
  fleet: Fleet,
  gate: readonly string[] = [`--credentials=${fleet.hawserFile}`],
  environment: NodeJS.ProcessEnv = {},
): Promise<RunningRelay> {
  const port = await lendPort();
  const log = join(WORK_FOLDER, `${id}-${port}.log`);
  const child = startChild({
    name: id,
    ...(id === "hawser"
      ? { command: process.execPath, args: hawserArgs(port, await lendPort(), gate) }
      : { command: tools.baseline, args: baselineArgs(id, port, fleet) }),
    outputFile: log,
    endBy: "signal",
    environment,
  });
  const relay: RunningRelay = {
    id,
    pid: child.pid,
    port,
    child,
    async stop() {
      await child.stop();
      rmSync(log, { force: true });
    },
  };
  const deadline = performance.now() + START_MS;
  while (!(await accepts(port))) {
    if (child.failure !== null) throw new Error(child.failure);
    if (performance.now() > deadline) {
      await relay.stop();
      throw new Error(`${id} accepts no connection ${START_MS / 1_000} s after its start`);
    }
    await delay(20);
  }
  return relay;
}

function hawserArgs(port: number, internalPort: number, gate: readonly string[]): string[] {
  // The build that this file is part of; run from the sources, the usual one.
  const sibling = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
  return [
    existsSync(sibling) ? sibling : join(root, "dist", "src", "cli", "main.js"),
    "relay",
    "--listen-host=127.0.0.1",
    `--listen-port=${port}`,
    `--internal-port=${internalPort}`,
    `--data-dir=${join(WORK_FOLDER, "data")}`,
    ...gate,
  ];
}

function baselineArgs(id: RelayId, port: number, fleet: Fleet): string[] {
  const tuned = id === "tuned" ? ["-tuned"] : [];
  return ["-listen", `127.0.0.1:${port}`, "-credentials", fleet.baselineFile, ...tuned];
}

/** Starts the cheap device with `count` tokens of a file, after `skip` others, and waits until all its tunnels are up. */
export async function startDevice(
  tools: Tools,
  relay: RunningRelay,
  tokensFile: string,
  count: number,
  skip = 0,
): Promise<Child> {
  const child = startChild({
    name: "device",
    command: tools.device,
    args: [
      ...["--relay", `127.0.0.1:${relay.port}`, "--tokens", tokensFile],
      ...["--count", String(count), "--skip", String(skip)],
    ],
    endBy: "stdin",
  });
  await child.line("ready ");
  return child;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
