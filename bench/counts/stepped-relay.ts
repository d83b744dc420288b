import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { lendPort } from "../../test/support/ports.ts";
import type { ProbeAnswer, ProbeQuestion } from "./probe.ts";

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const START_MS = 20_000;
const STOP_MS = 3_000;

/** How a {@link SteppedRelay} is started. */
export interface SteppedRelaySpec {
  /** For its log and its data. */
  readonly folder: string;
  readonly credentialsFile: string;
  /** What Node is told about its process. */
  readonly nodeArgs: readonly string[];
  /** Settings beside addresses, data and credentials. */
  readonly settings: readonly string[];
  /** For how long it may take to get ready; 20 s by default. */
  readonly startMs?: number;
}

/**
 * `hawser relay` as a process of its own that can be held: what arrives meanwhile is there all at once when it goes on, so that
 * what it does with it does not depend on how the machine schedules.
 */
export class SteppedRelay {
  readonly port: number;
  readonly #child: ChildProcess;
  #complaint = "";

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
    child.stderr?.on("data", (data: Buffer) => {
      this.#complaint = (this.#complaint + data.toString()).slice(-2_000);
    });
  }

  /** Starts it and waits until it listens. @throws Error when it ends, or does not in time; it is stopped then */
  static async start({
    folder,
    credentialsFile,
    nodeArgs,
    settings,
    startMs = START_MS,
  }: SteppedRelaySpec): Promise<SteppedRelay> {
    const ports = [await lendPort(), await lendPort()];
    const log = openSync(join(folder, "relay.log"), "w");
    const args = [
      ...nodeArgs,
      ...[main, "relay", "--listen-host=127.0.0.1", `--listen-port=${ports[0]}`],
      ...[`--internal-port=${ports[1]}`, `--data-dir=${join(folder, "data")}`],
      `--credentials=${credentialsFile}`,
      ...settings,
    ];
    const child = spawn(process.execPath, args, { stdio: ["ignore", log, "pipe", "ipc"] });
    closeSync(log);
    endWithUs(child);
    const relay = new SteppedRelay(child, ports[0] ?? 0);
    const deadline = performance.now() + startMs;
    const listens = async (): Promise<boolean> => {
      const answer = await fetch(`http://127.0.0.1:${ports[1]}/readyz`).catch(() => null);
      await answer?.arrayBuffer();
      return answer?.status === 200;
    };
    while (!(await listens())) {
      relay.check();
      if (performance.now() > deadline) {
        await relay.stop();
        throw new Error("the relay does not get ready");
      }
      await delay(10);
    }
    return relay;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** @throws Error with its reason where the process has ended */
  check(): void {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) return;
    throw new Error(`the relay ended (${signalCode ?? exitCode}): ${this.#complaint.trim()}`);
  }

  /** Holds it while `work` gives it something to do. */
  async held(work: () => void): Promise<void> {
    this.check();
    process.kill(this.pid, "SIGSTOP");
    while (!isStopped(this.pid)) {
      await turn();
      this.check();
    }
    work();
    process.kill(this.pid, "SIGCONT");
  }

  /** Asks the probe, which must be loaded. @throws Error with its reason where the process ends before it answers */
  async ask(question: ProbeQuestion): Promise<number> {
    this.check();
    this.#child.send(question);
    const over = new AbortController();
    const { signal } = over;
    const told: Promise<ProbeAnswer[]> = once(this.#child, "message", { signal });
    const ended = once(this.#child, "exit", { signal }).then((): ProbeAnswer[] => {
      this.check();
      return [];
    });
    const [answer] = await Promise.race([told, ended]);
    for (const each of [told, ended]) each.catch(() => undefined);
    over.abort();
    if (answer?.question !== question) throw new Error(`the probe does not answer ${question}`);
    return answer.value;
  }

  async stop(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const closed = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    const kill = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await closed;
    clearTimeout(kill);
  }
}

function endWithUs(child: ChildProcess): void {
  const kill = (): void => {
    child.kill("SIGKILL");
  };
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
}

/** Whether the main thread is held: by the signal, or by it under a tracer. @see proc(5), stat */
function isStopped(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return /^[Tt] /.test(stat.slice(stat.lastIndexOf(")") + 2));
}
