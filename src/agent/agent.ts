import { EventEmitter } from "node:events";
import { type Clock, monotonicClock } from "../core/clock.ts";
import { ClosedError } from "../core/errors.ts";
import { MuxPools } from "../mux/index.ts";
import { ThrottledLog } from "./log.ts";
import { type AgentOptions, type AgentSettings, agentSettings, readToken } from "./options.ts";
import { type DisconnectCause, RetryPolicy } from "./retry-policy.ts";
import { describeLoss } from "./state-lines.ts";
import { processTimers, type Timers } from "./timers.ts";
import {
  type OpenTunnel,
  Tunnel,
  type TunnelContext,
  type TunnelHandler,
  type TunnelLink,
  targetText,
} from "./tunnel.ts";
import { codeOf, type TunnelEnd } from "./tunnel-end.ts";

/**
 * ```
 *   connecting --101--> connected --GOAWAY--> draining --new tunnel up--> connected
 *     ^    \                |                    |
 *     |     +---------------+--- tunnel lost ----+
 *     |                     v
 *     +---- delay ------ waiting                      any --close()--> stopping --> stopped
 * ```
 */
export type AgentState =
  | "connecting"
  | "connected"
  | "draining"
  | "waiting"
  | "stopping"
  | "stopped";

/** Events of an {@link Agent}, with what their listeners are called with. */
export interface AgentEvents {
  /** A dial begins; `attempt` counts from 1 since the last stable tunnel. */
  connecting: [{ attempt: number }];
  /** A tunnel is up and new streams come over it. */
  connected: [{ generation: number }];
  /** The relay asked to be left; the next tunnel is dialled while this one still serves. */
  draining: [{ generation: number }];
  /** No tunnel, or no replacement for the draining one: the next dial is after `retryInMs`. */
  disconnected: [{ cause: DisconnectCause; code: string; retryInMs: number }];
  /** The agent is done and holds nothing any more. */
  stopped: [];
}

/** Parts that a test replaces. */
export interface AgentParts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly openTunnel: OpenTunnel;
}

const PROCESS_PARTS: AgentParts = {
  clock: monotonicClock,
  timers: processTimers,
  random: Math.random,
  openTunnel: (context, generation, token, handler) =>
    new Tunnel(context, generation, token, handler),
};

/** Tunnels that may drain at a time; the oldest is cut when one more is left. */
const DRAINING_MAX = 2;

/**
 * Keeps one tunnel to the relay up, whatever happens to it, until it is closed. Made by {@link connect}.
 *
 * A tunnel that the relay asks to be left keeps serving until the next one is up, then finishes its streams.
 */
export class Agent extends EventEmitter<AgentEvents> implements TunnelHandler {
  readonly #settings: AgentSettings;
  readonly #parts: AgentParts;
  readonly #context: TunnelContext;
  readonly #policy: RetryPolicy;
  #state: AgentState = "connecting";
  #generation = 0;
  /** The tunnel that new streams come over. */
  #current: TunnelLink | null = null;
  #currentSince = 0;
  /** The tunnel being dialled. */
  #dialing: TunnelLink | null = null;
  /** Left, finishing their streams; oldest first. */
  readonly #draining: TunnelLink[] = [];
  #retryTimer: unknown = null;
  readonly #onAbort: () => void;

  constructor(settings: AgentSettings, parts: AgentParts = PROCESS_PARTS) {
    super();
    this.#settings = settings;
    this.#parts = parts;
    this.#policy = new RetryPolicy(settings, parts.random);
    this.#context = {
      settings,
      clock: parts.clock,
      timers: parts.timers,
      pools: new MuxPools({
        maxRecvBufferBytes: (1 + DRAINING_MAX) * settings.mux.maxSessionRecvBufferBytes,
      }),
      throttled: new ThrottledLog(settings.log, parts.clock),
    };
    this.#onAbort = () => void this.close({ drainMs: 0 });
    // The caller attaches its listeners first.
    queueMicrotask(() => this.#start());
  }

  get state(): AgentState {
    return this.#state;
  }

  /** Streams open now, over all tunnels. */
  get streamCount(): number {
    let count = this.#current?.streamCount ?? 0;
    for (const tunnel of this.#draining) count += tunnel.streamCount;
    return count;
  }

  /**
   * Resolves when a tunnel is up; at once if one is. Failed attempts do not reject it: the agent goes on trying.
   *
   * @throws ClosedError `ERR_AGENT_STOPPED` when the agent is closed first
   */
  ready(): Promise<void> {
    if (this.#current !== null) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.off("connected", onConnected);
        this.off("stopped", onStopped);
      };
      const onConnected = (): void => {
        settle();
        resolve();
      };
      const onStopped = (): void => {
        settle();
        reject(new ClosedError("ERR_AGENT_STOPPED", "the agent was stopped", "local"));
      };
      if (this.#state === "stopped") {
        onStopped();
        return;
      }
      this.on("connected", onConnected);
      this.on("stopped", onStopped);
    });
  }

  /**
   * Stops: takes no new streams, lets running ones finish for at most `drainMs` (default: the option of the same
   * name), then closes. Resolves when nothing is left. A second call may shorten the time, not lengthen it.
   */
  close({ drainMs = this.#settings.drainMs }: { drainMs?: number } = {}): Promise<void> {
    if (this.#state === "stopped") return Promise.resolve();
    const stopped = new Promise<void>((resolve) => {
      this.once("stopped", () => resolve());
    });
    const wasStopping = this.#state === "stopping";
    this.#enter("stopping");
    this.#parts.timers.clear(this.#retryTimer);
    const current = this.#current;
    this.#current = null;
    if (current !== null) this.#draining.push(current);
    this.#dialing?.close();
    if (!wasStopping) {
      this.#settings.log.info({ state: "stopping", streams: this.streamCount }, "stopping");
    }
    for (const tunnel of [...this.#draining]) {
      if (drainMs > 0) tunnel.drain(drainMs);
      else tunnel.close();
    }
    this.#stopWhenIdle();
    return stopped;
  }

  tunnelOnOpen(tunnel: TunnelLink): void {
    const left = this.#current;
    this.#dialing = null;
    this.#current = tunnel;
    this.#currentSince = this.#parts.clock.now();
    const { log, relayUrl, target, yamuxRole } = this.#settings;
    this.#enter("connected");
    log.info(
      { state: "connected", relay: relayUrl, tunnel: tunnel.generation, yamuxRole },
      `connected to ${relayUrl} (tunnel ${tunnel.generation}, yamux ${yamuxRole}), serving ${targetText(target)}`,
    );
    if (left !== null) this.#leave(left);
    this.emit("connected", { generation: tunnel.generation });
  }

  tunnelOnGoAway(tunnel: TunnelLink): void {
    if (tunnel !== this.#current || this.#state !== "connected") return;
    this.#enter("draining");
    const delayMs = this.#policy.goAwayDelayMs(this.#livedMs());
    this.#settings.log.info(
      { state: "draining", tunnel: tunnel.generation, streams: tunnel.streamCount },
      `relay asks to be left: dialling anew, tunnel ${tunnel.generation} finishes its streams`,
    );
    this.emit("draining", { generation: tunnel.generation });
    // A listener may have closed the agent.
    if (this.#stopping) return;
    if (delayMs === 0) this.#dial();
    else this.#retryAfter(delayMs);
  }

  tunnelOnEnd(tunnel: TunnelLink, end: TunnelEnd): void {
    const index = this.#draining.indexOf(tunnel);
    if (index >= 0) {
      this.#draining.splice(index, 1);
      this.#settings.log.debug({ tunnel: tunnel.generation, end }, "old tunnel is closed");
    } else if (tunnel === this.#current) {
      this.#lostCurrent(end);
    } else if (tunnel === this.#dialing) {
      this.#dialing = null;
      if (this.#state !== "stopping") this.#retry(end, 0);
    }
    this.#stopWhenIdle();
  }

  #start(): void {
    if (this.#state !== "connecting") return;
    const { signal } = this.#settings;
    if (signal !== null) {
      if (signal.aborted) {
        this.#onAbort();
        return;
      }
      signal.addEventListener("abort", this.#onAbort, { once: true });
    }
    this.#dial();
  }

  get #stopping(): boolean {
    return this.#state === "stopping" || this.#state === "stopped";
  }

  #enter(state: AgentState): void {
    this.#state = state;
  }

  #livedMs(): number {
    return this.#parts.clock.now() - this.#currentSince;
  }

  #dial(): void {
    this.#retryTimer = null;
    const { log, relayUrl, tokenSource } = this.#settings;
    const attempt = this.#policy.attempts + 1;
    // While an old tunnel still serves, the state stays `draining`.
    if (this.#current === null) this.#enter("connecting");
    log.info({ state: this.#state, relay: relayUrl, attempt }, `connecting to ${relayUrl}`);
    this.emit("connecting", { attempt });
    // A listener may have closed the agent.
    if (this.#stopping) return;
    let token: string;
    try {
      token = readToken(tokenSource);
    } catch (error) {
      const code = codeOf(error, "ERR_AGENT_TOKEN_FILE");
      const file = tokenSource.kind === "file" ? tokenSource.path : "";
      const reason = code === "ERR_AGENT_TOKEN_FILE" ? "it holds no usable token" : code;
      log.error({ code, file }, `token file ${file} cannot be used: ${reason}`);
      this.#retry({ kind: "unreachable", code: "ERR_AGENT_TOKEN_FILE", tls: false }, 0);
      return;
    }
    this.#generation += 1;
    this.#dialing = this.#parts.openTunnel(this.#context, this.#generation, token, this);
  }

  #lostCurrent(end: TunnelEnd): void {
    const livedMs = this.#livedMs();
    const wasDraining = this.#state === "draining";
    this.#current = null;
    if (this.#state === "stopping") return;
    if (wasDraining) {
      // Its replacement is already on the way, by a dial or by a retry timer.
      this.#enter(this.#dialing === null ? "waiting" : "connecting");
      return;
    }
    this.#retry(end, livedMs);
  }

  #retry(end: TunnelEnd, livedMs: number): void {
    const { cause, delayMs } = this.#policy.plan(end, livedMs);
    if (this.#current === null) this.#enter("waiting");
    const { code, level, text } = describeLoss(end, cause);
    const retryInMs = Math.round(delayMs);
    const seconds = (retryInMs / 1000).toFixed(1);
    const fields = { state: this.#state, cause, code, retryInMs };
    this.#settings.log[level](fields, `${text}; next attempt in ${seconds} s`);
    this.#retryAfter(delayMs);
    this.emit("disconnected", { cause, code, retryInMs });
  }

  #retryAfter(delayMs: number): void {
    this.#retryTimer = this.#parts.timers.set(() => this.#dial(), delayMs);
  }

  /** The replacement is up: the old tunnel takes nothing new and finishes what it has. */
  #leave(tunnel: TunnelLink): void {
    this.#draining.push(tunnel);
    if (this.#draining.length > DRAINING_MAX) this.#draining[0]?.close();
    tunnel.drain(this.#settings.drainMs);
  }

  #stopWhenIdle(): void {
    if (this.#state !== "stopping") return;
    if (this.#dialing !== null || this.#draining.length > 0) return;
    this.#enter("stopped");
    this.#settings.signal?.removeEventListener("abort", this.#onAbort);
    this.#settings.log.info({ state: "stopped" }, "stopped");
    this.emit("stopped");
  }
}

/**
 * Dials the relay and serves what it sends, until the agent is closed.
 *
 * ```js
 * const agent = connect({ relay: "ws://127.0.0.1:3800", tokenFile: "device.token", to: "http://127.0.0.1:8080" });
 * await agent.ready();
 * ```
 *
 * @throws ConfigError every problem of the options, before anything is dialled
 */
export function connect(options: AgentOptions): Agent {
  return new Agent(agentSettings(options));
}
