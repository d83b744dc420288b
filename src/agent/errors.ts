/** Every error code of the agent, with what it means. `docs/errors.md` lists the same. */
export const AGENT_ERRORS = {
  ERR_AGENT_STOPPED: "The agent was stopped before its first tunnel was up.",
  ERR_AGENT_TOKEN_FILE: "The token file could not be read, or holds no usable token.",
  ERR_AGENT_HANDSHAKE_TIMEOUT: "The relay did not answer the WebSocket handshake in time.",
  ERR_AGENT_LOCAL_TIMEOUT: "The local service did not take the connection in time.",
} as const;

export type AgentErrorCode = keyof typeof AGENT_ERRORS;
