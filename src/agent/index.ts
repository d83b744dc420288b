/** The device agent as a library: `import { connect } from "hawser/agent"`. */
export { Agent, type AgentEvents, type AgentState, connect } from "./agent.ts";
export { AGENT_ERRORS, type AgentErrorCode } from "./errors.ts";
export { type AgentLog, silentLog } from "./log.ts";
export { AGENT_DEFAULTS, type AgentOptions, agentSettings, isTokenText } from "./options.ts";
export type { DisconnectCause } from "./retry-policy.ts";
