import { isIPv4 } from "node:net";
import { ConfigError, type ConfigProblem } from "../core/errors.ts";
import type { RelayOptions } from "../relay/options.ts";
import type { Values } from "./settings.ts";

/** The shortest secret that the internal API takes on an address that others can reach. */
export const INTERNAL_SECRET_BYTES_MIN = 32;

/** True for addresses that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}

/** What single settings cannot tell: which of them do not go together. */
export function relayProblems(values: Values, internalSecret: string): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const add = (setting: string, problem: string): void => {
    problems.push({ setting, problem });
  };
  if (values.credentials === null) {
    add("credentials", "required: the file that says who may connect and who may call");
  }
  if ((values.tlsCert === null) !== (values.tlsKey === null)) {
    add(values.tlsCert === null ? "tlsCert" : "tlsKey", "required: TLS wants tlsCert and tlsKey");
  }
  if (!isLoopback(values.internalHost) && internalSecret.length < INTERNAL_SECRET_BYTES_MIN) {
    const problem = `an address other than loopback demands an internal secret of ${INTERNAL_SECRET_BYTES_MIN} bytes or more`;
    add("internalHost", problem);
  }
  if (values.listenPort !== 0 && values.listenPort === values.internalPort) {
    add("internalPort", "the same as listenPort; the two listeners want a port each");
  }
  if (values.windowMax < values.windowInitial) {
    add("windowMax", "less than windowInitial");
  }
  if (values.tunnelReceiveBufferMax < values.windowInitial) {
    add("tunnelReceiveBufferMax", "less than windowInitial");
  }
  if (values.tunnelSendQueueMax < values.streamSendQueueMax) {
    add("tunnelSendQueueMax", "less than streamSendQueueMax");
  }
  return problems;
}

/**
 * The relay's options from checked settings.
 *
 * @throws ConfigError with every combination that does not hold
 */
export function relayOptions(values: Values, internalSecret: string): RelayOptions {
  const problems = relayProblems(values, internalSecret);
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    listenHost: values.listenHost,
    listenPort: values.listenPort,
    internalHost: values.internalHost,
    internalPort: values.internalPort,
    internalSecret,
    tlsCertFile: values.tlsCert,
    tlsKeyFile: values.tlsKey,
    edgeDomain: values.edgeDomain,
    trustedProxyCidrs: values.trustedProxyCidrs,
    allowQueryToken: values.allowQueryToken,
    yamuxRole: values.yamuxRole,
    firstByteTimeoutMs: values.firstByteTimeout,
    idleTimeoutMs: values.idleTimeout,
    holdMs: values.holdTime,
    holdQueueMax: values.holdQueueMax,
    tunnelsMax: values.tunnelsMax,
    inFlightPerDeviceMax: values.inFlightPerDeviceMax,
    inFlightMax: values.inFlightMax,
    idleStreamsPerTunnelMax: values.idleStreamsPerTunnelMax,
    idleStreamMs: values.idleStreamTime,
    handshakesPerSecondMax: values.handshakesPerSecondMax,
    failedHandshakesPerMinuteMax: values.failedHandshakesPerMinuteMax,
    headBytesMax: values.headMax,
    drainMs: values.drainTime,
    displacedGraceMs: values.displacedGrace,
    mux: muxOptions(values),
  };
}

function muxOptions(values: Values): RelayOptions["mux"] {
  const hard =
    values.messageMax === null
      ? {}
      : { maxWsMessageOutBytes: values.messageMax, hardWsMessageOut: true };
  return {
    initialWindowBytes: values.windowInitial,
    maxWindowBytes: values.windowMax,
    maxOutboundStreams: values.streamsPerTunnelMax,
    openTimeoutMs: values.streamOpenTimeout,
    keepAliveIntervalMs: values.keepAliveInterval,
    keepAliveTimeoutMs: values.keepAliveTimeout,
    stalledWriteTimeoutMs: values.stalledWriteTimeout,
    maxSessionRecvBufferBytes: values.tunnelReceiveBufferMax,
    maxStreamSendQueueBytes: values.streamSendQueueMax,
    maxSessionSendQueueBytes: values.tunnelSendQueueMax,
    ...hard,
  };
}
