import { randomInt } from "node:crypto";
import { BlockList, isIP } from "node:net";
import pino, { type DestinationStream, type Logger } from "pino";
import { AsciiLines, type LineSink } from "../core/ascii-lines.ts";
import { ClientAddressRule } from "../core/client-address.ts";
import { type Clock, monotonicClock } from "../core/clock.ts";
import { ConfigError, type ConfigProblem } from "../core/errors.ts";
import { preparedBindings } from "../core/log-bindings.ts";
import { TimerWheel } from "../core/timer-wheel.ts";
import { type MuxOptions, MuxPools, muxOptions, SessionCounters } from "../mux/index.ts";
import { AccessLog } from "./access-log.ts";
import { endRevoked } from "./close-tunnels.ts";
import type { RelayContext } from "./context.ts";
import { DescriptorGuard, type Pausable } from "./descriptor-guard.ts";
import { DeviceFights } from "./device-fights.ts";
import { registerEdge } from "./edge.ts";
import { Forwarder } from "./forward.ts";
import { HandshakeGuard } from "./handshake-guard.ts";
import { registerInternal } from "./internal.ts";
import { Listener } from "./listener.ts";
import { RelayMetrics } from "./metrics.ts";
import type { RelayOptions } from "./options.ts";
import { PeerAddresses } from "./peer-address.ts";
import type { CallerGate, GateMemory, TunnelGate, TunnelListener } from "./ports.ts";
import { KEEP_AWAKE_MS, lengthenResponseTimeout } from "./response-timeout.ts";
import { InMemorySessionStore } from "./session-store.ts";
import { CloseCode, type Tunnel } from "./tunnel.ts";
import { registerTunnelEndpoint } from "./tunnel-endpoint.ts";
import { TunnelLog } from "./tunnel-log.ts";
import { Turn } from "./turn.ts";
import { loadUws, uwsAdapted } from "./uws.ts";

/** What a relay is given besides its options. */
export interface RelayDeps {
  readonly tunnelGate: TunnelGate;
  readonly callerGate: CallerGate;
  /** Told when the API server says that something has changed; absent where the gates remember nothing. */
  readonly gateMemory?: GateMemory;
  /** Told of tunnels that come up and end. */
  readonly tunnelListener?: TunnelListener;
  readonly logger: Logger;
  /**
   * Where access lines and those of tunnels go, in blocks of bytes, when the logger's level lets `info` through. Default: to the logger's
   * destination, as text.
   */
  readonly accessLines?: LineSink;
  /** Default: the process's monotonic clock. */
  readonly clock?: Clock;
}

/** A running relay. */
export interface Relay {
  /** Port of the public listener, also where 0 was asked for. */
  readonly port: number;
  readonly internalPort: number;
  /**
   * Stops without cutting anybody before `drainMs` is over: readiness off, no new tunnels, GoAway to the devices, paced
   * and in random order, then the end of what runs, then `close()`. A second call gives the same promise.
   */
  drain(): Promise<void>;
  /** Stops at once. Requests whose answer has not begun are answered 503, others are cut. Idempotent. */
  close(): Promise<void>;
  /**
   * Reads certificate and key again; no effect without TLS. A pair that cannot be used is logged, and the old one
   * stays.
   */
  reloadTls(): void;
  /**
   * Closes the tunnels of these tokens at once, displaced ones too, with code 4403, and ends what runs for these keys.
   *
   * @param refs public references, `vAc_<id>` and `hwk_<id>`
   * @returns how many tunnels were closed
   */
  revoke(refs: readonly string[]): number;
  /** References of the tokens of all live tunnels, displaced ones that still serve requests included. */
  liveTokens(): string[];
  /** References of the keys for which a request runs at the edge. */
  runningKeys(): string[];
  /**
   * Closes all tunnels at once, streams included, with code 1013: nobody can say any longer who may connect.
   *
   * @returns how many tunnels were closed
   */
  closeTunnels(): number;
  /** Resolves when no forwarded request runs and its last frames are sent. */
  whenIdle(): Promise<void>;
  /** What the relay holds now: for tests and for whoever looks for a leak. */
  inspect(): RelayHoldings;
}

/** Counts of what a relay holds. All but `tunnels` are 0 when no request runs and no stream is idle. */
export interface RelayHoldings {
  /** Requests taken and not ended. */
  readonly running: number;
  /** Those of them that wait for their device. */
  readonly holding: number;
  /** Connected tunnels, displaced ones included. */
  readonly tunnels: number;
  /** yamux streams of all tunnels, idle ones included. */
  readonly streams: number;
  /** Bytes received from devices and not yet taken by clients. */
  readonly receivedBytes: number;
  /** Buffers of sessions that have something to send. */
  readonly batchBuffersOut: number;
  /** Pieces of queues that wait for credit or for a socket. */
  readonly chunksOut: number;
}

/** One interval drives everything that is due: no timer belongs to a tunnel or a request. */
const TICK_MS = 250;
/** How often expired sessions are looked for, and how many are removed at a time. */
const EXPIRY_MS = 1_000;
const EXPIRED_AT_ONCE_MAX = 500;
/** GoAways in a second while draining: a relay beside us must be able to take the devices in. */
const GO_AWAYS_PER_SECOND = 1_000;
const GO_AWAY_TICK_MS = 50;
/** What the secret must have at least. */
const SECRET_BYTES_MIN = { loopback: 16, elsewhere: 32 };

/** Whether only this machine reaches the address. */
function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  const loopback = new BlockList();
  loopback.addSubnet("127.0.0.0", 8, "ipv4");
  loopback.addAddress("::1", "ipv6");
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 4 ? "ipv4" : "ipv6");
}

/**
 * What is wrong with the options as a whole; the checks of single values belong to `config`.
 *
 * @see seed-contract A1
 */
export function relayOptionsProblems(options: RelayOptions): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const bytesMin = SECRET_BYTES_MIN[isLoopback(options.internalHost) ? "loopback" : "elsewhere"];
  if (Buffer.byteLength(options.internalSecret) < bytesMin) {
    const problem = `needs at least ${bytesMin} bytes when the internal API listens on ${options.internalHost}`;
    problems.push({ setting: "internalSecret", problem });
  }
  if ((options.tlsCertFile === null) !== (options.tlsKeyFile === null)) {
    const setting = options.tlsCertFile === null ? "tlsCertFile" : "tlsKeyFile";
    problems.push({ setting, problem: "TLS needs a certificate and a key" });
  }
  return problems;
}

/** The logs of frequent lines, with pino's prepared bindings, so that their lines look like pino's own. */
function lineLogsOf(
  logger: Logger,
  sink: LineSink | undefined,
  turn: Turn,
): Pick<RelayContext, "accessLog" | "tunnelLog"> {
  const internals = logger as unknown as Record<symbol, unknown>;
  const destination = internals[pino.symbols.streamSym] as DestinationStream;
  const bindings = preparedBindings(logger);
  const lines = new AsciiLines(
    sink ?? { write: (bytes) => destination.write(Buffer.from(bytes).toString("utf8")) },
  );
  const enabled = logger.isLevelEnabled("info");
  return {
    accessLog: new AccessLog(lines, enabled, bindings, () => turn.wallNow),
    tunnelLog: new TunnelLog(lines, enabled, bindings),
  };
}

function addMuxCounters(metrics: RelayMetrics, tally: SessionCounters): void {
  metrics.addCounter(
    "hawser_relay_window_stalls_total",
    "Times that a stream to a device ran out of credit.",
    () => tally.windowStalls,
  );
  metrics.addCounter(
    "hawser_relay_protocol_errors_total",
    "Tunnels closed because their device broke a rule of yamux.",
    () => tally.protocolErrors,
  );
}

function buildContext(options: RelayOptions, mux: MuxOptions, deps: RelayDeps): RelayContext {
  const clock = deps.clock ?? monotonicClock;
  const log = deps.logger;
  const tally = new SessionCounters();
  const metrics = new RelayMetrics();
  addMuxCounters(metrics, tally);
  const turn = new Turn(clock);
  const store = new InMemorySessionStore<Tunnel>(clock, {
    onCloseError: (tunnel, error) =>
      log.warn({ device: tunnel.deviceId, err: error }, "close failed"),
  });
  const context: Omit<RelayContext, "forwarder"> & { forwarder: Forwarder | null } = {
    options,
    muxOptions: mux,
    uws: loadUws({ headBytesMax: options.headBytesMax }),
    log,
    clock,
    metrics,
    ...lineLogsOf(log, deps.accessLines, turn),
    store,
    displaced: new Set(),
    handshakes: new HandshakeGuard(clock, {
      handshakesPerSecondMax: options.handshakesPerSecondMax,
      failedHandshakesPerMinuteMax: options.failedHandshakesPerMinuteMax,
    }),
    fights: new DeviceFights(clock),
    tunnelGate: deps.tunnelGate,
    callerGate: deps.callerGate,
    gateMemory: deps.gateMemory ?? null,
    tunnelListener: deps.tunnelListener ?? null,
    pools: new MuxPools({ tally }),
    wheel: new TimerWheel(clock.now()),
    turn,
    clientAddress: new ClientAddressRule(options.trustedProxyCidrs),
    forwarder: null,
    responseAwakeMs: KEEP_AWAKE_MS.SHORT,
    draining: false,
  };
  // The forwarder needs the context, and the context the forwarder.
  context.forwarder = new Forwarder(context as RelayContext);
  return context as RelayContext;
}

/**
 * Starts a relay and resolves when both listeners are open.
 *
 * @throws ConfigError for options that contradict each other, a taken port, a certificate that cannot be used
 * @throws AppError `ERR_UWS_…` where the native part cannot be loaded
 */
export async function startRelay(options: RelayOptions, deps: RelayDeps): Promise<Relay> {
  const problems = relayOptionsProblems(options);
  if (problems.length > 0) throw new ConfigError(problems);
  // A fleet that comes back is spared a message each way for each device; a round trip matters to streams alone.
  const mux = muxOptions({ pingAtStart: false, ...options.mux });
  const context = buildContext(options, mux, deps);
  const { tlsCertFile: certFile, tlsKeyFile: keyFile } = options;
  const edge = await Listener.open(context.uws, {
    host: options.listenHost,
    port: options.listenPort,
    hostSetting: "listenHost",
    portSetting: "listenPort",
    tls: certFile === null || keyFile === null ? null : { certFile, keyFile },
    routes: (app) => {
      context.responseAwakeMs = lengthenResponseTimeout(app);
      const peers = new PeerAddresses(app);
      registerTunnelEndpoint(app, context, peers);
      registerEdge(app, context, peers);
    },
  });
  try {
    const internal = await Listener.open(context.uws, {
      host: options.internalHost,
      port: options.internalPort,
      hostSetting: "internalHost",
      portSetting: "internalPort",
      tls: null,
      routes: (app) => {
        lengthenResponseTimeout(app);
        registerInternal(app, context);
      },
    });
    return new RunningRelay(context, edge, internal);
  } catch (error) {
    edge.close();
    throw error;
  }
}

/** `items` in random order, in place. */
function shuffle<T>(items: T[]): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    const item = items[last] as T;
    items[last] = items[other] as T;
    items[other] = item;
  }
  return items;
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

class RunningRelay implements Relay {
  readonly #context: RelayContext;
  readonly #edge: Listener;
  readonly #internal: Listener;
  readonly #descriptors: DescriptorGuard;
  readonly #interval: NodeJS.Timeout;
  readonly #expireAfterMs: number;
  #expiryAt = 0;
  #draining: Promise<void> | null = null;
  #closing: Promise<void> | null = null;

  constructor(context: RelayContext, edge: Listener, internal: Listener) {
    this.#context = context;
    this.#edge = edge;
    this.#internal = internal;
    const { keepAliveIntervalMs, keepAliveTimeoutMs } = context.muxOptions;
    // The session itself ends a silent tunnel; the store removes what has slipped past it.
    const silenceMs = 2 * (keepAliveIntervalMs + keepAliveTimeoutMs);
    this.#expireAfterMs = keepAliveIntervalMs > 0 ? silenceMs : Number.POSITIVE_INFINITY;
    this.#addGauges();
    this.#descriptors = this.#guardDescriptors();
    // The listening sockets keep the process alive, not the interval.
    this.#interval = setInterval(() => this.#tick(), TICK_MS).unref();
    const { options } = context;
    context.log.info(
      {
        listen: `${options.listenHost}:${edge.port}`,
        internal: `${options.internalHost}:${internal.port}`,
        tls: options.tlsCertFile !== null,
      },
      "relay listens",
    );
    if (!uwsAdapted()) {
      context.log.warn(
        "uWebSockets.js is not adapted; an upload can fill the memory, and TLS can break, see ADR 0002",
      );
    }
  }

  get port(): number {
    return this.#edge.port;
  }

  get internalPort(): number {
    return this.#internal.port;
  }

  reloadTls(): void {
    const { log } = this.#context;
    try {
      this.#edge.reloadTls(() => log.error("the port is taken; trying again"));
      if (this.#context.options.tlsCertFile !== null) log.info("certificate read again");
    } catch (error) {
      log.error({ err: error }, "the new certificate cannot be used; the old one stays");
    }
  }

  revoke(refs: readonly string[]): number {
    return endRevoked(this.#context, refs);
  }

  runningKeys(): string[] {
    return [...this.#context.forwarder.runningKeys()];
  }

  liveTokens(): string[] {
    const { store, displaced } = this.#context;
    const refs = new Set<string>();
    for (const tunnel of store.handles()) refs.add(tunnel.tokenRef);
    for (const tunnel of displaced) refs.add(tunnel.tokenRef);
    return [...refs];
  }

  closeTunnels(): number {
    const { store, displaced } = this.#context;
    const tunnels = [...store.handles(), ...displaced];
    for (const tunnel of tunnels) {
      store.unregister(tunnel);
      tunnel.close(CloseCode.OVERLOADED, "credentials cannot be checked");
    }
    return tunnels.length;
  }

  async whenIdle(): Promise<void> {
    await this.#context.forwarder.whenIdle();
    // The last frames of what ended leave with the end of the turn.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  inspect(): RelayHoldings {
    const { forwarder, store, displaced, pools } = this.#context;
    let streams = 0;
    for (const tunnel of store.handles()) streams += tunnel.session.streamCount;
    for (const tunnel of displaced) streams += tunnel.session.streamCount;
    return {
      running: forwarder.running,
      holding: forwarder.holding,
      tunnels: store.size + displaced.size,
      streams,
      receivedBytes: pools.recvHeldBytes,
      batchBuffersOut: pools.batchesOut,
      chunksOut: pools.chunksOut,
    };
  }

  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #tick(): void {
    const { clock, wheel, forwarder, accessLog, store } = this.#context;
    const now = clock.now();
    wheel.advance(now);
    forwarder.sweep(now);
    this.#descriptors.check();
    if (now >= this.#expiryAt) {
      this.#expiryAt = now + EXPIRY_MS;
      store.cleanupExpired(this.#expireAfterMs, EXPIRED_AT_ONCE_MAX);
    }
    accessLog.flush();
  }

  async #drain(): Promise<void> {
    const { log, options, forwarder, store, metrics } = this.#context;
    this.#context.draining = true;
    const startedAt = performance.now();
    const leftMs = (): number => Math.max(0, options.drainMs - (performance.now() - startedAt));
    log.info({ tunnels: store.size, requests: forwarder.running }, "relay drains");
    await this.#sendGoAways(leftMs);
    while ((forwarder.running > 0 || metrics.tunnels > 0) && leftMs() > 0 && !this.#isClosing) {
      await wait(Math.min(GO_AWAY_TICK_MS, leftMs()));
    }
    if (!this.#isClosing) {
      log.info({ tunnels: metrics.tunnels, requests: forwarder.running }, "relay drained");
    }
    await this.close();
  }

  get #isClosing(): boolean {
    return this.#closing !== null;
  }

  /** Tells the devices in random order to go, spread over time, so that they do not all arrive elsewhere at once. */
  async #sendGoAways(leftMs: () => number): Promise<void> {
    const tunnels = shuffle([...this.#context.store.handles()]);
    const spreadMs = Math.min((tunnels.length * 1_000) / GO_AWAYS_PER_SECOND, leftMs() / 2);
    const steps = Math.max(1, Math.floor(spreadMs / GO_AWAY_TICK_MS));
    const perStep = Math.ceil(tunnels.length / steps);
    for (let next = 0; next < tunnels.length && !this.#isClosing; next += perStep) {
      if (next > 0) await wait(GO_AWAY_TICK_MS);
      for (const tunnel of tunnels.slice(next, next + perStep)) {
        tunnel.drain(CloseCode.RESTART, "relay restarts", leftMs());
      }
    }
  }

  async #close(): Promise<void> {
    const { log, forwarder, store, accessLog } = this.#context;
    this.#context.draining = true;
    clearInterval(this.#interval);
    this.#descriptors.close();
    forwarder.close();
    const tunnels = [...store.handles(), ...this.#context.displaced];
    for (const tunnel of tunnels) tunnel.close(CloseCode.GOING_AWAY, "relay stops");
    // Last answers and close frames leave at the end of the turn.
    await new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
    this.#edge.close();
    this.#internal.close();
    await new Promise<void>((resolve) => setImmediate(resolve));
    accessLog.flush();
    log.info("relay stopped");
  }

  /** The edge stops first; health checks go on as long as they can. */
  #guardDescriptors(): DescriptorGuard {
    const { log } = this.#context;
    const pausable = (listener: Listener): Pausable => ({
      pause: () => listener.pause(),
      resume: () => listener.resume(() => log.error("the port is taken; trying again")),
    });
    return new DescriptorGuard([pausable(this.#edge), pausable(this.#internal)], (accepting) => {
      if (accepting) log.warn("file descriptors are free again: connections are accepted");
      else log.error("no file descriptor is left: new connections are refused until some are free");
    });
  }

  #addGauges(): void {
    const { metrics, forwarder, store, pools } = this.#context;
    metrics.addGauge(
      "hawser_relay_requests_in_flight",
      "Requests taken and not finished.",
      () => forwarder.running,
    );
    metrics.addGauge(
      "hawser_relay_requests_holding",
      "Requests that wait for their device.",
      () => forwarder.holding,
    );
    metrics.addGauge("hawser_relay_sessions", "Registered sessions.", () => store.size);
    metrics.addGauge(
      "hawser_relay_received_bytes_held",
      "Bytes from devices that clients have not taken.",
      () => pools.recvHeldBytes,
    );
    metrics.addGauge(
      "hawser_relay_window_grown_bytes",
      "Receive window granted beyond the initial size.",
      () => pools.windowGrownBytes,
    );
  }
}
