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
  /** Of the edge. */
  readonly port: number;
  readonly ports: RelayPorts;
  readonly child: Child;
  stop(): Promise<void>;
}

const START_MS = 10_000;

/** What is not the default of a relay. */
export interface RelaySetup {
  /** What says who may connect and call, for Hawser's relay, in place of the fleet's credentials file. */
  readonly gate?: readonly string[];
  /** More options of Hawser's relay. */
  readonly options?: readonly string[];
  /** Variables beside those of this process. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Where it listens, in place of ports that are free. */
  readonly ports?: RelayPorts;
}

/** Where a relay listens. */
export interface RelayPorts {
  readonly edge: number;
  /** Of the internal API; the baseline has none. */
  readonly internal: number;
}

/**
 * Starts a relay as a process of its own, with its defaults but for `setup`, and waits until it accepts connections.
 *
 * @throws Error when it ends, or accepts none within 10 s
 */
export async function startRelay(
  id: RelayId,
  tools: Pick<Tools, "baseline" | "pinning">,
  fleet: Fleet,
  setup: RelaySetup = {},
): Promise<RunningRelay> {
  const ports = setup.ports ?? { edge: await lendPort(), internal: await lendPort() };
  const port = ports.edge;
  const gate = setup.gate ?? [`--credentials=${fleet.hawserFile}`];
  const log = join(WORK_FOLDER, `${id}-${port}.log`);
  const child = startChild({
    name: id,
    ...(id === "hawser"
      ? {
          command: process.execPath,
          args: hawserArgs(ports, [...gate, ...(setup.options ?? [])]),
        }
      : { command: tools.baseline, args: baselineArgs(id, port, fleet) }),
    outputFile: log,
    endBy: "signal",
    environment: setup.environment ?? {},
    cores: tools.pinning.relay,
  });
  const relay: RunningRelay = {
    id,
    pid: child.pid,
    port,
    ports,
    child,
    async stop() {
      await child.stop();
      rmSync(log, { force: true });
    },
  };
  await accepting(child, id, port);
  return relay;
}

/** Waits until a process accepts connections. @throws Error when it ends before, or takes too long; it is stopped then */
export async function accepting(child: Child, name: string, port: number): Promise<void> {
  const deadline = performance.now() + START_MS;
  while (!(await accepts(port))) {
    if (child.failure !== null) throw new Error(child.failure);
    if (performance.now() > deadline) {
      await child.stop();
      throw new Error(`${name} accepts no connection ${START_MS / 1_000} s after its start`);
    }
    await delay(20);
  }
}

function hawserArgs(ports: RelayPorts, more: readonly string[]): string[] {
  // The build that this file is part of; run from the sources, the usual one.
  const sibling = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
  return [
    existsSync(sibling) ? sibling : join(root, "dist", "src", "cli", "main.js"),
    "relay",
    "--listen-host=127.0.0.1",
    `--listen-port=${ports.edge}`,
    `--internal-port=${ports.internal}`,
    `--data-dir=${join(WORK_FOLDER, "data")}`,
    ...more,
  ];
}

function baselineArgs(id: RelayId, port: number, fleet: Fleet): string[] {
  const tuned = id === "tuned" ? ["-tuned"] : [];
  return ["-listen", `127.0.0.1:${port}`, "-credentials", fleet.baselineFile, ...tuned];
}

/** Devices of one process: which tokens of a file they have, which relay they dial, and how. */
export interface DeviceSpec {
  readonly relay: Pick<RunningRelay, "port">;
  readonly tokensFile: string;
  readonly count: number;
  /** Tokens at the start of the file that others have. */
  readonly skip?: number;
  /** First dials a second, at most; 1,500 by default, below the default limit of a relay. */
  readonly rate?: number;
  /** Of `tools.device` alone: dial again what is lost, after a random pause of so much at most. Without it, a lost tunnel ends the process. */
  readonly retryMs?: number;
  /** Cores that the process may use; null or absent for all. */
  readonly cores?: string | null;
}

/** Starts the cheap device and waits until all its tunnels are up. */
export function startDevice(
  tools: Pick<Tools, "device" | "pinning">,
  relay: Pick<RunningRelay, "port">,
  tokensFile: string,
  count: number,
  skip = 0,
): Promise<Child> {
  const cores = tools.pinning.load;
  return startDeviceProgram(tools.device, { relay, tokensFile, count, skip, cores });
}

const REDIAL_MS = 50;

/**
 * Starts one cheap device that dials again what it loses, as agents do: at a relay that asks an API server uWS may close a
 * tunnel as it opens (docs/adr/0002).
 */
export function startRedialingDevice(
  tools: Pick<Tools, "device" | "pinning">,
  relay: Pick<RunningRelay, "port">,
  tokensFile: string,
): Promise<Child> {
  const cores = tools.pinning.load;
  const spec = { relay, tokensFile, count: 1, retryMs: REDIAL_MS, cores };
  return startDeviceProgram(tools.device, spec);
}

/**
 * Starts a device program, `tools.device` or `tools.godevice`, and waits until all its tunnels are up.
 *
 * @throws Error with what it said, when it ends before
 */
export async function startDeviceProgram(program: string, spec: DeviceSpec): Promise<Child> {
  const child = spawnDeviceProgram(program, spec);
  await child.line("ready ");
  return child;
}

/** Starts a device program, without waiting for its tunnels. */
export function spawnDeviceProgram(program: string, spec: DeviceSpec): Child {
  const { relay, tokensFile, count, skip = 0, rate, retryMs, cores = null } = spec;
  return startChild({
    name: "device",
    command: program,
    args: [
      ...["--relay", `127.0.0.1:${relay.port}`, "--tokens", tokensFile],
      ...["--count", String(count), "--skip", String(skip)],
      ...(rate === undefined ? [] : ["--rate", String(rate)]),
      ...(retryMs === undefined ? [] : ["--retry", String(retryMs)]),
    ],
    endBy: "stdin",
    cores,
  });
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
