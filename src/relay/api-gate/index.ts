/** Who may connect and who may call, as the API server says. */

export { ApiGate, type ApiGateEvents } from "./api-gate.ts";
export { GATE_ERRORS, type GateErrorCode } from "./errors.ts";
export { API_GATE_DEFAULTS, type ApiGateOptions } from "./options.ts";
export { TunnelReports, type TunnelReportsOptions } from "./tunnel-reports.ts";
