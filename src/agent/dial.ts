import type { ClientRequest, IncomingMessage } from "node:http";
import WebSocket from "ws";
import { agentUserAgent, hawserVersion } from "../core/version.ts";
import type { AgentSettings } from "./options.ts";
import type { Timers } from "./timers.ts";
import { retryAfterMs, type TunnelEnd, unreachable } from "./tunnel-end.ts";
import { fillMask } from "./ws-transport.ts";

/** How long the relay may take to answer our close frame before the socket is cut. */
const CLOSE_TIMEOUT_MS = 5_000;

/** What a dial ends in: exactly one call, at once after it the other is impossible. */
export interface DialHandler {
  dialOnOpen(webSocket: WebSocket): void;
  dialOnFail(end: TunnelEnd): void;
}

/** A dial under way. */
export interface Dialing {
  /** Gives up; the handler is not called any more. */
  abort(): void;
}

/**
 * Opens a WebSocket to the relay, with the token in `Authorization` alone. Messages arrive as lists of fragments
 * (`binaryType` `fragments`), so that nothing is joined that yamux would take apart again.
 *
 * @param token secret; kept by nobody after the request is sent
 */
export function dial(
  settings: AgentSettings,
  token: string,
  timers: Timers,
  handler: DialHandler,
): Dialing {
  const webSocket = new WebSocket(settings.relayUrl, clientOptions(settings, token));
  webSocket.binaryType = "fragments";
  let settled = false;
  const deadline = timers.set(
    () => fail("ERR_AGENT_HANDSHAKE_TIMEOUT"),
    settings.handshakeTimeoutMs,
  );

  function settle(): boolean {
    if (settled) return false;
    settled = true;
    timers.clear(deadline);
    return true;
  }
  function finish(end: TunnelEnd): void {
    if (!settle()) return;
    webSocket.terminate();
    handler.dialOnFail(end);
  }
  function fail(code: string): void {
    finish({ kind: "unreachable", code, tls: false });
  }

  // Stays for the life of the WebSocket: an error without a listener would end the process. `close` follows each.
  webSocket.on("error", (error) => finish(unreachable(error, "ERR_WEBSOCKET_HANDSHAKE")));
  webSocket.on("unexpected-response", (_request: ClientRequest, response: IncomingMessage) => {
    finish({
      kind: "rejected",
      status: response.statusCode ?? 0,
      retryAfterMs: retryAfterMs(response.headers["retry-after"], Date.now()),
    });
  });
  webSocket.once("close", () => fail("ERR_WEBSOCKET_HANDSHAKE"));
  webSocket.once("open", () => {
    if (settle()) handler.dialOnOpen(webSocket);
  });
  return {
    abort: () => {
      if (settle()) webSocket.terminate();
    },
  };
}

/** `ws` knows this option; its published types do not yet. */
type ClientOptions = WebSocket.ClientOptions & { closeTimeout: number };

function clientOptions(settings: AgentSettings, token: string): ClientOptions {
  return {
    headers: { authorization: `Bearer ${token}`, "user-agent": agentUserAgent(hawserVersion()) },
    perMessageDeflate: false,
    followRedirects: false,
    generateMask: fillMask,
    closeTimeout: CLOSE_TIMEOUT_MS,
    // A peer may send its whole window in one frame and one message; the rest is room for frames batched with it.
    maxPayload: settings.mux.maxWindowBytes + 1024 * 1024,
    ...(settings.ca === null ? {} : { ca: settings.ca }),
  };
}
