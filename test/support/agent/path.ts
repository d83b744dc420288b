import type { TestContext } from "node:test";
import { type Agent, type AgentLog, type AgentOptions, connect } from "../../../src/agent/index.ts";
import { HttpService } from "./local-service.ts";
import { MiniRelay, type MiniRelayOptions, type RelayTunnel } from "./mini-relay.ts";

/** What an agent logged: fields and message of every line. */
export interface LogLine {
  readonly level: keyof AgentLog;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** Collects log lines and lets a test wait for one. */
export class LogBook implements AgentLog {
  readonly lines: LogLine[] = [];
  readonly #waiting = new Set<() => void>();

  debug(fields: object, message: string): void {
    this.#note("debug", fields, message);
  }
  info(fields: object, message: string): void {
    this.#note("info", fields, message);
  }
  warn(fields: object, message: string): void {
    this.#note("warn", fields, message);
  }
  error(fields: object, message: string): void {
    this.#note("error", fields, message);
  }

  /** The first line, now or later, whose message matches. */
  async line(pattern: RegExp): Promise<LogLine> {
    for (;;) {
      const found = this.lines.find((line) => pattern.test(line.message));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }

  #note(level: keyof AgentLog, fields: object, message: string): void {
    this.lines.push({ level, fields: { ...fields }, message });
    for (const waiting of this.#waiting) waiting();
    this.#waiting.clear();
  }
}

export interface Path {
  readonly relay: MiniRelay;
  readonly agent: Agent;
  readonly log: LogBook;
  /** The tunnel that is up. */
  readonly tunnel: RelayTunnel;
}

/** Relay, agent and everything between them, closed after the test. */
export async function startPath(
  t: TestContext,
  options: Partial<AgentOptions>,
  relayOptions: MiniRelayOptions = {},
): Promise<Path> {
  const relay = await startRelay(t, relayOptions);
  const { agent, log } = startAgent(t, relay.url, options);
  const tunnel = await relay.nextTunnel();
  await agent.ready();
  return { relay, agent, log, tunnel };
}

export async function startRelay(
  t: TestContext,
  options: MiniRelayOptions = {},
): Promise<MiniRelay> {
  const relay = await MiniRelay.start(options);
  t.after(() => relay.close());
  return relay;
}

/** An agent that retries within milliseconds, so that no test waits. */
export function startAgent(
  t: TestContext,
  relay: string,
  options: Partial<AgentOptions>,
): { agent: Agent; log: LogBook } {
  const log = new LogBook();
  const agent = connect({
    relay,
    token: "vAc_integration",
    backoffBaseMs: 1,
    backoffCapMs: 20,
    log,
    ...options,
  });
  t.after(() => agent.close({ drainMs: 0 }));
  return { agent, log };
}

export async function startService(
  t: TestContext,
  tls?: { key: string; cert: string },
): Promise<HttpService> {
  const service = await HttpService.start(tls);
  t.after(() => service.close());
  return service;
}
