import type { LogLevel } from "./log.ts";
import type { DisconnectCause } from "./retry-policy.ts";
import type { TunnelEnd } from "./tunnel-end.ts";

/** How the loss of a tunnel, or a failed dial, is told. */
export interface LossLine {
  /** Node's, ours, `HTTP_<status>` or `WS_<close code>`. */
  readonly code: string;
  readonly level: LogLevel;
  readonly text: string;
}

/** The sentence of each cause, without the code. */
const SENTENCES: Record<DisconnectCause, readonly [LogLevel, string]> = {
  unreachable: ["warn", "relay cannot be reached"],
  tls: ["error", "TLS to the relay failed: check its certificate and --ca"],
  token_refused: ["error", "relay refused the token: check that it is right and not revoked"],
  limited: ["warn", "relay is busy and asks to wait"],
  rejected: ["warn", "relay answered the handshake with an error"],
  revoked: ["error", "token was revoked"],
  disconnected: ["info", "tunnel was closed by whoever manages the device"],
  displaced: [
    "warn",
    "another connection with this device's token took its place: is it used twice?",
  ],
  restarting: ["info", "relay is going away"],
  protocol: ["warn", "yamux error between agent and relay: check that their --yamux-role differ"],
  lost: ["warn", "connection to the relay was lost"],
};

/** Nothing was dialled: the relay may be well. */
const NO_TOKEN: readonly [LogLevel, string] = ["error", "no token to dial with"];

/** The log line for an end that the policy gave `cause`. */
export function describeLoss(end: TunnelEnd, cause: DisconnectCause): LossLine {
  const code = endCode(end);
  const [level, sentence] = code === "ERR_AGENT_TOKEN_FILE" ? NO_TOKEN : SENTENCES[cause];
  return { code, level, text: `${sentence} (${code})` };
}

function endCode(end: TunnelEnd): string {
  switch (end.kind) {
    case "unreachable":
      return end.code;
    case "rejected":
      return `HTTP_${end.status}`;
    case "closed":
      return end.closeCode === 0 ? end.error : `WS_${end.closeCode}`;
  }
}
