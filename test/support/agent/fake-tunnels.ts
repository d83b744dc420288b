import { Agent, type AgentEvents } from "../../../src/agent/agent.ts";
import type { AgentLog } from "../../../src/agent/log.ts";
import { type AgentOptions, agentSettings } from "../../../src/agent/options.ts";
import type { TunnelContext, TunnelHandler, TunnelLink } from "../../../src/agent/tunnel.ts";
import type { TunnelEnd } from "../../../src/agent/tunnel-end.ts";
import { ManualTimers } from "./manual-timers.ts";

/** A tunnel that does what the test says, and notes what the agent does with it. */
export class FakeTunnel implements TunnelLink {
  readonly generation: number;
  readonly token: string;
  readonly #handler: TunnelHandler;
  streamCount = 0;
  drainedMs: number | null = null;
  closed = false;

  constructor(generation: number, token: string, handler: TunnelHandler) {
    this.generation = generation;
    this.token = token;
    this.#handler = handler;
  }

  drain(drainMs: number): void {
    this.drainedMs = drainMs;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.end({ kind: "closed", closeCode: 0, error: "ERR_TEST", protocol: false });
  }

  open(): void {
    this.#handler.tunnelOnOpen(this);
  }

  goAway(): void {
    this.#handler.tunnelOnGoAway(this);
  }

  end(end: TunnelEnd): void {
    this.#handler.tunnelOnEnd(this, end);
  }
}

/** An agent over fake tunnels, with time moved by hand and jitter at its upper end. */
export interface Bench {
  readonly agent: Agent;
  readonly timers: ManualTimers;
  /** Every tunnel dialled, in order. */
  readonly tunnels: FakeTunnel[];
  /** Names of all events, in order. */
  readonly events: string[];
  /** All log messages, in order. */
  readonly lines: string[];
  /** The tunnel of this generation; fails when it was not dialled. */
  tunnel(generation: number): FakeTunnel;
}

const EVENT_NAMES = ["connecting", "connected", "draining", "disconnected", "stopped"] as const;

export function agentBench(options: Partial<AgentOptions> = {}): Bench {
  const timers = new ManualTimers(1_000_000);
  const tunnels: FakeTunnel[] = [];
  const lines: string[] = [];
  const note = (_fields: object, message: string): void => void lines.push(message);
  const log: AgentLog = { debug: note, info: note, warn: note, error: note };
  const settings = agentSettings({
    relay: "ws://relay.test",
    token: "vAc_test",
    to: "http://127.0.0.1:1",
    log,
    ...options,
  });
  const openTunnel = (
    _context: TunnelContext,
    generation: number,
    token: string,
    handler: TunnelHandler,
  ): FakeTunnel => {
    const tunnel = new FakeTunnel(generation, token, handler);
    tunnels.push(tunnel);
    return tunnel;
  };
  const agent = new Agent(settings, { clock: timers, timers, random: () => 1, openTunnel });
  const events: string[] = [];
  for (const name of EVENT_NAMES) {
    agent.on(name as keyof AgentEvents, () => void events.push(name));
  }
  const tunnel = (generation: number): FakeTunnel => {
    const found = tunnels[generation - 1];
    if (found === undefined) throw new Error(`tunnel ${generation} was not dialled`);
    return found;
  };
  return { agent, timers, tunnels, events, lines, tunnel };
}
