/** What an API listener is told at start. Times in milliseconds, sizes in bytes, as the names say. */
export interface ApiOptions {
  /** Port 0 picks one. */
  readonly listenHost: string;
  readonly listenPort: number;
  /** PEM files; both or neither. With them the listener speaks TLS. */
  readonly tlsCertFile: string | null;
  readonly tlsKeyFile: string | null;
  /** Where people find us, for example `https://hawser.example.org`. Requests never influence it. */
  readonly publicBaseUrl: string;
  /** Exact origins of single-page applications on other hosts that may use a session. */
  readonly corsOrigins: readonly string[];
  /** Proxies whose `X-Forwarded-For` is believed, as CIDR blocks. */
  readonly trustedProxyCidrs: readonly string[];
  /** Whole request head, request line included. */
  readonly headBytesMax: number;
  readonly headFieldsMax: number;
  /** Path and query together. */
  readonly targetBytesMax: number;
  /** From the opening of a connection, or the first byte of a further request, to the end of the head. */
  readonly headTimeoutMs: number;
  /** From the end of the head to the end of a body that is read whole; streamed bodies are their handler's. */
  readonly bodyTimeoutMs: number;
  /** Without a request on an open connection. */
  readonly keepAliveMs: number;
  /** Without a byte in either direction while a request runs: a client that neither sends nor reads is cut. */
  readonly idleMs: number;
  /** Connections beyond it are closed unanswered. */
  readonly connectionsMax: number;
  /** Requests of one connection that may wait for their answers at once; with more it is cut. */
  readonly pipelinedMax: number;
  /** How long the rest of a refused body is read and dropped before the connection is cut. */
  readonly lingerMs: number;
  /** How long a stop waits for running requests. */
  readonly drainMs: number;
  /** Failed authentications of one address in a window before it gets 429. */
  readonly authFailuresMax: number;
  readonly authFailureWindowMs: number;
  /** Addresses with failures that are remembered; the oldest are forgotten first. */
  readonly authFailureAddressesMax: number;
}

/** The defaults of every setting but the base URL, which has none. */
export const API_DEFAULTS: Omit<ApiOptions, "publicBaseUrl"> = {
  listenHost: "0.0.0.0",
  listenPort: 3721,
  tlsCertFile: null,
  tlsKeyFile: null,
  corsOrigins: [],
  trustedProxyCidrs: [],
  // As much as the relay takes.
  headBytesMax: 32_768,
  headFieldsMax: 100,
  targetBytesMax: 16_384,
  headTimeoutMs: 15_000,
  bodyTimeoutMs: 30_000,
  // Longer than the 60 s that common proxies keep theirs, so that the proxy closes first.
  keepAliveMs: 75_000,
  idleMs: 120_000,
  connectionsMax: 10_000,
  pipelinedMax: 16,
  lingerMs: 2_000,
  drainMs: 10_000,
  authFailuresMax: 60,
  authFailureWindowMs: 600_000,
  authFailureAddressesMax: 100_000,
};
