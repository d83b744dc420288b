import type WebSocket from "ws";
import type { Clock } from "../core/clock.ts";
import { type AppError, ProtocolError } from "../core/errors.ts";
import {
  type MuxPools,
  Session,
  type SessionHandler,
  type Stream,
  toDuplex,
} from "../mux/index.ts";
import { type Dialing, dial } from "./dial.ts";
import { LocalPipe, type PipeOwner } from "./local-pipe.ts";
import type { ThrottledLog } from "./log.ts";
import type { AgentSettings, TargetSettings } from "./options.ts";
import type { Timers } from "./timers.ts";
import type { TunnelEnd } from "./tunnel-end.ts";
import { WsTransport } from "./ws-transport.ts";

/** What a tunnel tells the agent. After `tunnelOnEnd`, which comes exactly once, nothing more. */
export interface TunnelHandler {
  tunnelOnOpen(tunnel: TunnelLink): void;
  /** The relay asks to be left: running streams go on, new ones do not come. */
  tunnelOnGoAway(tunnel: TunnelLink): void;
  tunnelOnEnd(tunnel: TunnelLink, end: TunnelEnd): void;
}

/** One tunnel, from the dial to its end, as the agent sees it. */
export interface TunnelLink {
  /** Counts dials; for log lines. */
  readonly generation: number;
  readonly streamCount: number;
  /** Takes no new streams, and ends when the last one has or `drainMs` are over. Only after `tunnelOnOpen`. */
  drain(drainMs: number): void;
  /** Ends now, streams included; before `tunnelOnOpen` it gives the dial up. */
  close(): void;
}

/** What all tunnels of an agent share. */
export interface TunnelContext {
  readonly settings: AgentSettings;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly pools: MuxPools;
  /** For what may happen once a request. */
  readonly throttled: ThrottledLog;
}

/** Opens a tunnel; a test hands in another one. */
export type OpenTunnel = (
  context: TunnelContext,
  generation: number,
  token: string,
  handler: TunnelHandler,
) => TunnelLink;

/** The session says when it is next due; never is it asked more often than this, nor less. */
const TICK_MS_MIN = 250;
const TICK_MS_MAX = 1_000;

/** A WebSocket to the relay, the yamux session over it, and the streams that the relay opens. */
export class Tunnel implements TunnelLink, SessionHandler, PipeOwner {
  readonly generation: number;
  decoding: Uint8Array | null = null;
  readonly #context: TunnelContext;
  readonly #handler: TunnelHandler;
  #dialing: Dialing | null;
  #session: Session | null = null;
  #ended = false;
  /** What the relay's close frame said; 0 until it has closed. */
  #closeCode = 0;
  #tickTimer: unknown = null;
  #flushQueued = false;
  /** Pipes whose local connection is not up yet. */
  readonly #connecting = new Set<LocalPipe>();
  /** Pipes whose local connection broke, and whose last bytes still wait for the relay. */
  readonly #broken = new Set<LocalPipe>();
  readonly #onFlush: () => void;
  readonly #onTick: () => void;

  constructor(context: TunnelContext, generation: number, token: string, handler: TunnelHandler) {
    this.#context = context;
    this.generation = generation;
    this.#handler = handler;
    this.#onFlush = () => this.#flush();
    this.#onTick = () => this.#tick();
    this.#dialing = dial(context.settings, token, context.timers, {
      dialOnOpen: (webSocket) => this.#open(webSocket),
      dialOnFail: (end) => this.#end(end),
    });
  }

  get streamCount(): number {
    return this.#session?.streamCount ?? 0;
  }

  drain(drainMs: number): void {
    this.#session?.drain(1000, "replaced or stopping", drainMs);
    // The end may be due before the next tick.
    this.#context.timers.clear(this.#tickTimer);
    this.#tick();
  }

  close(): void {
    if (this.#session !== null) {
      this.#session.close(1000, "agent stopped", 0);
      return;
    }
    this.#dialing?.abort();
    this.#end({ kind: "closed", closeCode: 0, error: "ERR_AGENT_STOPPED", protocol: false });
  }

  sessionOnDirty(_session: Session): void {
    if (this.#flushQueued) return;
    this.#flushQueued = true;
    // The check phase follows all reads of this loop turn: their frames leave in one message.
    setImmediate(this.#onFlush);
  }

  sessionOnStream(session: Session, stream: Stream): void {
    const { settings, throttled, clock } = this.#context;
    if (session.streamCount > settings.maxStreams) {
      throttled.warn(
        "max_streams",
        { maxStreams: settings.maxStreams },
        `stream refused: ${settings.maxStreams} are open already`,
      );
      stream.reset();
      return;
    }
    const { target } = settings;
    if (target.kind === "address") {
      this.#connecting.add(new LocalPipe(stream, target, this, clock.now()));
    } else if (target.kind === "server") {
      target.server.emit("connection", toDuplex(stream));
    } else {
      target.onStream(stream);
    }
  }

  sessionOnGoAway(_session: Session, code: number): void {
    if (code === 0) this.#handler.tunnelOnGoAway(this);
  }

  sessionOnClose(_session: Session, error: AppError): void {
    this.#context.timers.clear(this.#tickTimer);
    this.#end({
      kind: "closed",
      closeCode: this.#closeCode,
      error: error.code,
      protocol: error instanceof ProtocolError,
    });
  }

  pipeOnConnect(pipe: LocalPipe): void {
    this.#connecting.delete(pipe);
  }

  pipeOnRefused(_pipe: LocalPipe, code: string): void {
    const text = targetText(this.#context.settings.target);
    this.#context.throttled.warn(
      `refused ${code}`,
      { code, target: text },
      `local service ${text} cannot be reached (${code}); the relay answers 502`,
    );
  }

  pipeOnBroken(pipe: LocalPipe, code: string): void {
    this.#broken.add(pipe);
    const text = targetText(this.#context.settings.target);
    this.#context.throttled.warn(
      `broken ${code}`,
      { code, target: text },
      `connection to local service ${text} broke (${code})`,
    );
  }

  pipeOnClose(pipe: LocalPipe): void {
    this.#connecting.delete(pipe);
    this.#broken.delete(pipe);
  }

  #open(webSocket: WebSocket): void {
    const { settings, pools, clock } = this.#context;
    this.#dialing = null;
    const transport = new WsTransport(webSocket, settings.mux.wsLowWaterBytes);
    const session = new Session(settings.yamuxRole, settings.mux, transport, this, clock, pools);
    transport.session = session;
    this.#session = session;
    webSocket.on("message", (fragments: WebSocket.RawData, isBinary: boolean) => {
      if (isBinary) this.#receive(session, fragments as Buffer[]);
      else session.receiveText();
    });
    webSocket.once("close", (code: number) => {
      this.#closeCode = code;
      session.transportClosed(code);
    });
    this.#tick();
    if (!this.#ended) this.#handler.tunnelOnOpen(this);
  }

  /** `ws` makes the buffers of every message anew, so that a pipe may keep slices of them without a copy. */
  #receive(session: Session, fragments: readonly Buffer[]): void {
    for (const chunk of fragments) {
      this.decoding = chunk;
      session.receive(chunk);
    }
    this.decoding = null;
  }

  #flush(): void {
    this.#flushQueued = false;
    this.#session?.flush();
  }

  #tick(): void {
    const session = this.#session;
    if (session === null || !session.isOpen) return;
    const { clock, timers } = this.#context;
    const due = session.tick();
    if (!session.isOpen) return;
    this.#sweep();
    const waitMs = Math.min(TICK_MS_MAX, Math.max(TICK_MS_MIN, due - clock.now()));
    this.#tickTimer = timers.set(this.#onTick, waitMs);
  }

  /** Ends attempts to connect that take too long, and streams whose service is gone. */
  #sweep(): void {
    for (const pipe of [...this.#broken]) pipe.resetWhenSent();
    const { clock, settings } = this.#context;
    if (this.#connecting.size === 0 || settings.target.kind !== "address") return;
    const startedBefore = clock.now() - settings.target.timeoutMs;
    for (const pipe of [...this.#connecting]) {
      if (pipe.startedAt <= startedBefore) pipe.fail("ERR_AGENT_LOCAL_TIMEOUT");
    }
  }

  #end(end: TunnelEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#handler.tunnelOnEnd(this, end);
  }
}

/** How log lines name the target. */
export function targetText(target: TargetSettings): string {
  return target.kind === "address" ? target.text : "in this process";
}
