import pino, { type DestinationStream, type Logger } from "pino";
import { AsciiLines, type LineSink } from "../core/ascii-lines.ts";
import { ClientAddressRule } from "../core/client-address.ts";
import { type Clock, monotonicClock } from "../core/clock.ts";
import { preparedBindings } from "../core/log-bindings.ts";
import { TimerWheel } from "../core/timer-wheel.ts";
import { type MuxOptions, MuxPools, SessionCounters } from "../mux/index.ts";
import { AccessLog } from "./access-log.ts";
import type { RelayContext } from "./context.ts";
import { DeviceFights } from "./device-fights.ts";
import { Forwarder } from "./forward.ts";
import { HandshakeGuard } from "./handshake-guard.ts";
import { RelayMetrics } from "./metrics.ts";
import type { RelayOptions } from "./options.ts";
import type { CallerGate, GateMemory, TunnelGate, TunnelListener } from "./ports.ts";
import { KEEP_AWAKE_MS } from "./response-timeout.ts";
import { InMemorySessionStore } from "./session-store.ts";
import type { Tunnel } from "./tunnel.ts";
import { TunnelLog } from "./tunnel-log.ts";
import { Turn } from "./turn.ts";
import { loadUws } from "./uws.ts";

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

/**
 * All that the fronts and the tunnels of a relay share, of its options and what it is given.
 *
 * @throws AppError `ERR_UWS_…` where the native part cannot be loaded
 */
export function buildContext(
  options: RelayOptions,
  mux: MuxOptions,
  deps: RelayDeps,
): RelayContext {
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
