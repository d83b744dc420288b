/** The relay: device tunnels, the public edge and the internal API. */

export {
  API_GATE_DEFAULTS,
  ApiGate,
  type ApiGateEvents,
  type ApiGateOptions,
  GATE_ERRORS,
  TunnelReports,
  type TunnelReportsOptions,
} from "./api-gate/index.ts";
export type { RelayDeps } from "./build-context.ts";
export { CredentialsFile } from "./credentials-file.ts";
export { RELAY_ERRORS, type RelayErrorCode } from "./errors.ts";
export { RELAY_DEFAULTS, type RelayOptions } from "./options.ts";
export type {
  Caller,
  CallerGate,
  DeviceIdentity,
  GateMemory,
  TunnelGate,
  TunnelListener,
  Verdict,
} from "./ports.ts";
export { type Relay, relayOptionsProblems, startRelay } from "./relay.ts";
export { SESSION_STORE_ERRORS } from "./session-store.ts";
