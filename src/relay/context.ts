import type { Logger } from "pino";
import type { ClientAddressRule } from "../core/client-address.ts";
import type { Clock } from "../core/clock.ts";
import type { TimerWheel } from "../core/timer-wheel.ts";
import type { MuxOptions, MuxPools } from "../mux/index.ts";
import type { AccessLog } from "./access-log.ts";
import type { DeviceFights } from "./device-fights.ts";
import type { Forwarder } from "./forward.ts";
import type { HandshakeGuard } from "./handshake-guard.ts";
import type { RelayMetrics } from "./metrics.ts";
import type { RelayOptions } from "./options.ts";
import type { CallerGate, GateMemory, TunnelGate, TunnelListener } from "./ports.ts";
import type { Tunnel, TunnelStore } from "./tunnel.ts";
import type { TunnelLog } from "./tunnel-log.ts";
import type { Turn } from "./turn.ts";
import type { Uws } from "./uws.ts";

/** What the fronts and the tunnels of one relay share. Built once, by `build-context.ts`. */
export interface RelayContext {
  readonly options: RelayOptions;
  readonly muxOptions: MuxOptions;
  readonly uws: Uws;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: RelayMetrics;
  readonly accessLog: AccessLog;
  /** Its lines leave with those of the access log. */
  readonly tunnelLog: TunnelLog;
  readonly store: TunnelStore;
  /** Displaced tunnels: out of the store, but their running requests may finish. */
  readonly displaced: Set<Tunnel>;
  readonly handshakes: HandshakeGuard;
  readonly fights: DeviceFights;
  readonly tunnelGate: TunnelGate;
  readonly callerGate: CallerGate;
  /** Null where the gates remember nothing that others could change. */
  readonly gateMemory: GateMemory | null;
  /** Null where nobody wants to know. */
  readonly tunnelListener: TunnelListener | null;
  readonly pools: MuxPools;
  readonly wheel: TimerWheel;
  readonly turn: Turn;
  readonly clientAddress: ClientAddressRule;
  readonly forwarder: Forwarder;
  /** How often a response that its client does not take is kept awake: see `response-timeout.ts`. */
  responseAwakeMs: number;
  /** True once a stop was asked for: no new tunnel, no new request. */
  draining: boolean;
}
