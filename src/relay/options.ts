import type { MuxOptions } from "../mux/index.ts";

/** What a relay is told at start. Times in milliseconds, sizes in bytes, as the names say. */
export interface RelayOptions {
  /** Address and port of the public listener: device tunnels and the edge. Port 0 picks one. */
  readonly listenHost: string;
  readonly listenPort: number;
  /** Address and port of the internal API. */
  readonly internalHost: string;
  readonly internalPort: number;
  /** Shared secret of the internal API; at least 32 bytes when `internalHost` is not loopback. */
  readonly internalSecret: string;
  /** PEM files; both or neither. With them the public listener speaks TLS. */
  readonly tlsCertFile: string | null;
  readonly tlsKeyFile: string | null;
  /** `Host: <device>.<edgeDomain>` selects a device; null switches that off. */
  readonly edgeDomain: string | null;
  /** Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, as CIDR blocks. */
  readonly trustedProxyCidrs: readonly string[];
  /** Accept `?token=` on `/tunnel/connect`. */
  readonly allowQueryToken: boolean;
  /** Our yamux role towards devices. */
  readonly yamuxRole: "client" | "server";
  /** From the end of the request head to the device's response head. */
  readonly firstByteTimeoutMs: number;
  /** Without a byte in either direction after that. */
  readonly idleTimeoutMs: number;
  /** How long a request for a known, absent device waits for it, and how many may wait. */
  readonly holdMs: number;
  readonly holdQueueMax: number;
  readonly tunnelsMax: number;
  readonly inFlightPerDeviceMax: number;
  readonly inFlightMax: number;
  readonly idleStreamsPerTunnelMax: number;
  readonly idleStreamMs: number;
  readonly handshakesPerSecondMax: number;
  readonly failedHandshakesPerMinuteMax: number;
  /** Request and response heads alike. */
  readonly headBytesMax: number;
  /** How long a stop waits for running requests. */
  readonly drainMs: number;
  /** How long a displaced tunnel's running requests may go on. */
  readonly displacedGraceMs: number;
  readonly mux: Partial<MuxOptions>;
}

/** The defaults of every setting but the internal secret, which has none. */
export const RELAY_DEFAULTS: Omit<RelayOptions, "internalSecret"> = {
  listenHost: "0.0.0.0",
  listenPort: 3800,
  internalHost: "127.0.0.1",
  internalPort: 3801,
  tlsCertFile: null,
  tlsKeyFile: null,
  edgeDomain: null,
  trustedProxyCidrs: [],
  allowQueryToken: false,
  yamuxRole: "client",
  firstByteTimeoutMs: 60_000,
  idleTimeoutMs: 120_000,
  holdMs: 2_000,
  holdQueueMax: 1_024,
  tunnelsMax: 100_000,
  inFlightPerDeviceMax: 1_024,
  inFlightMax: 65_536,
  idleStreamsPerTunnelMax: 16,
  idleStreamMs: 30_000,
  // 10,000 devices are back in about the time that they take to dial; docs/performance.md has the figures.
  handshakesPerSecondMax: 5_000,
  failedHandshakesPerMinuteMax: 60,
  headBytesMax: 32_768,
  drainMs: 30_000,
  displacedGraceMs: 5_000,
  // A device may serve hundreds of slow clients at once, each with a window of its own waiting here.
  mux: { maxSessionRecvBufferBytes: 128 * 1024 * 1024 },
};
