import type { Logger } from "pino";
import { apiGateOptions, type Values } from "../config/index.ts";
import {
  API_GATE_DEFAULTS,
  ApiGate,
  CredentialsFile,
  type Relay,
  type RelayDeps,
  TunnelReports,
} from "../relay/index.ts";

/** Who may connect to a relay and who may call, from a file or from the API server. */
export interface OpenGate {
  readonly gates: Pick<RelayDeps, "tunnelGate" | "callerGate" | "gateMemory" | "tunnelListener">;
  /** Lets the gate close tunnels and end requests of a relay that runs. Call once. */
  attach(relay: Relay): void;
  close(): Promise<void>;
}

/**
 * Opens what the settings name.
 *
 * @throws ConfigError with every problem of a credentials file
 */
export async function openGate(values: Values, secret: string, logger: Logger): Promise<OpenGate> {
  const options = apiGateOptions(values, secret);
  if (options === null) return await openFile(values.credentials ?? "", logger);
  const { origin } = options.api;
  logger.info({ api: origin }, "the API server says who may connect and call");
  if (origin.startsWith("http:") && !LOOPBACK.test(new URL(origin).hostname)) {
    logger.warn("the internal secret goes to the API server over plain HTTP");
  }
  const gate = new ApiGate(options, logger);
  const { callTimeoutMs: timeoutMs } = API_GATE_DEFAULTS;
  const reports = new TunnelReports({ ...options, timeoutMs, logger });
  const revoke = revoker((revoked) => gate.on("revoked", revoked));
  return {
    gates: { tunnelGate: gate, callerGate: gate, gateMemory: gate, tunnelListener: reports },
    attach: (relay) => {
      revoke(relay);
      gate.on("failClosed", () => relay.closeTunnels());
      gate.start(() => [...relay.liveTokens(), ...relay.runningKeys()]);
    },
    close: async () => {
      await gate.close();
      // Last of all: a stop ends every tunnel, and the API server hears of it.
      await reports.close();
    },
  };
}

const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;

async function openFile(path: string, logger: Logger): Promise<OpenGate> {
  const credentials = await CredentialsFile.open(path, logger);
  return {
    gates: { tunnelGate: credentials, callerGate: credentials },
    attach: revoker((revoked) => credentials.on("revoked", revoked)),
    close: async () => credentials.close(),
  };
}

/**
 * Hears of revoked tokens and keys from now on, closes their tunnels and ends their requests. What is revoked while the relay starts, when devices
 * may dial in already, is kept until the returned function is told of the relay.
 */
function revoker(
  listen: (revoked: (refs: readonly string[]) => void) => void,
): (relay: Relay) => void {
  const early: string[] = [];
  let running: Relay | null = null;
  listen((refs) => {
    if (running === null) early.push(...refs);
    else running.revoke(refs);
  });
  return (relay) => {
    running = relay;
    relay.revoke(early.splice(0));
  };
}
