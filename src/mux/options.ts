import { ConfigError, type ConfigProblem } from "../core/errors.ts";
import { HEADER_BYTES, INITIAL_WINDOW_BYTES, WINDOW_BYTES_LIMIT } from "./constants.ts";

/** Settings of a session. One frozen object serves all sessions of a kind. */
export interface MuxOptions {
  /** Receive window granted on SYN and ACK, bytes, at least 262144. */
  readonly initialWindowBytes: number;
  /** Ceiling of a receive window that grows, bytes. */
  readonly maxWindowBytes: number;
  /** Growth beyond the initial windows that all streams of a session may draw together, bytes. */
  readonly maxSessionWindowGrowthBytes: number;
  /** Largest outgoing payload while another stream waits or the round trip is long, bytes. */
  readonly maxDataFrameBytes: number;
  readonly maxInboundStreams: number;
  readonly maxOutboundStreams: number;
  /** Inbound streams that may wait for accept(). */
  readonly acceptBacklog: number;
  /** Outbound streams that may wait for their acknowledgement. */
  readonly maxUnackedOpens: number;
  /** Outbound streams that may wait for a place among the unacknowledged. */
  readonly maxWaitingOpens: number;
  readonly openTimeoutMs: number;
  /** An inbound stream that is not accepted within this time is reset. */
  readonly ackDeadlineMs: number;
  /** FIN of an unacknowledged outbound stream is held this long. */
  readonly finHoldMs: number;
  /** False: the first ping leaves with the first stream that is opened, or answers the first data. */
  readonly pingAtStart: boolean;
  readonly keepAliveIntervalMs: number;
  readonly keepAliveTimeoutMs: number;
  /** Share by which the interval is shortened at random, 0 to 1. */
  readonly keepAliveJitter: number;
  readonly drainTimeoutMs: number;
  /** Peer sent FIN, our window is empty and no credit comes: reset after this time. */
  readonly stalledWriteTimeoutMs: number;
  /** Peer sent FIN, we did not, and nothing moves: reset after this time. */
  readonly halfCloseTimeoutMs: number;
  /** We sent FIN, the peer did not, and nothing is received: reset after this time. 0 is never. */
  readonly lingerTimeoutMs: number;
  /** The transport is above high water and takes nothing for this time: close 1008. */
  readonly slowReaderTimeoutMs: number;
  /** Received and not consumed, all streams of the session, bytes. */
  readonly maxSessionRecvBufferBytes: number;
  readonly maxStreamSendQueueBytes: number;
  readonly maxSessionSendQueueBytes: number;
  /** Above this many bytes in the transport's buffer no more Data is handed over. */
  readonly wsHighWaterBytes: number;
  /** At or below this many bytes Data goes on. */
  readonly wsLowWaterBytes: number;
  /** Largest message that joins frames, bytes; at most 64 KiB + 12. */
  readonly maxWsMessageOutBytes: number;
  /** True: single frames hold to `maxWsMessageOutBytes` too (gateways that cap messages). */
  readonly hardWsMessageOut: boolean;
  /** What a receive-window overrun ends. */
  readonly overrunPolicy: "session" | "stream";
  /** False in the agent, whose peer is its own relay: opens and early resets are not counted. */
  readonly guardPeer: boolean;
  /** Rate budgets: burst, and what comes back per second. */
  readonly opensBurst: number;
  readonly opensPerSecond: number;
  /** Refused SYNs within 10 s that are abuse. */
  readonly refusalsMax: number;
  readonly earlyResetsBurst: number;
  readonly earlyResetsPerSecond: number;
  readonly pingsBurst: number;
  readonly pingsPerSecond: number;
  /** Unanswered ping requests within 10 s that are abuse. */
  readonly droppedPingsMax: number;
  readonly noOpsBurst: number;
  readonly noOpsPerSecond: number;
  /** Tiny frames a second that, kept up for `tinyFramesSeconds`, are abuse. */
  readonly tinyFramesPerSecond: number;
  readonly tinyFramesSeconds: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

/** Bytes of a pooled batch buffer: 64 KiB of payload behind one header. */
export const BATCH_BYTES = 64 * KIB + HEADER_BYTES;

const DEFAULTS: MuxOptions = {
  initialWindowBytes: INITIAL_WINDOW_BYTES,
  maxWindowBytes: 4 * MIB,
  maxSessionWindowGrowthBytes: 16 * MIB,
  maxDataFrameBytes: 16 * KIB,
  maxInboundStreams: 1024,
  maxOutboundStreams: 1024,
  acceptBacklog: 256,
  maxUnackedOpens: 256,
  maxWaitingOpens: 1024,
  openTimeoutMs: 30_000,
  ackDeadlineMs: 10_000,
  finHoldMs: 1_000,
  pingAtStart: true,
  keepAliveIntervalMs: 30_000,
  keepAliveTimeoutMs: 10_000,
  keepAliveJitter: 0.2,
  drainTimeoutMs: 30_000,
  stalledWriteTimeoutMs: 30_000,
  halfCloseTimeoutMs: 240_000,
  lingerTimeoutMs: 0,
  slowReaderTimeoutMs: 30_000,
  maxSessionRecvBufferBytes: 16 * MIB,
  maxStreamSendQueueBytes: 256 * KIB,
  maxSessionSendQueueBytes: 4 * MIB,
  wsHighWaterBytes: 256 * KIB,
  wsLowWaterBytes: 64 * KIB,
  maxWsMessageOutBytes: BATCH_BYTES,
  hardWsMessageOut: false,
  overrunPolicy: "session",
  guardPeer: true,
  opensBurst: 512,
  opensPerSecond: 200,
  refusalsMax: 2048,
  earlyResetsBurst: 200,
  earlyResetsPerSecond: 20,
  pingsBurst: 20,
  pingsPerSecond: 5,
  droppedPingsMax: 200,
  noOpsBurst: 1000,
  noOpsPerSecond: 100,
  tinyFramesPerSecond: 50_000,
  tinyFramesSeconds: 5,
};

/** Least value of each numeric setting; 0 where none is named. */
const LEAST: Partial<Record<keyof MuxOptions, number>> = {
  initialWindowBytes: INITIAL_WINDOW_BYTES,
  maxWindowBytes: INITIAL_WINDOW_BYTES,
  maxDataFrameBytes: 1,
  acceptBacklog: 1,
  maxUnackedOpens: 1,
  openTimeoutMs: 1,
  ackDeadlineMs: 1,
  keepAliveIntervalMs: 1,
  keepAliveTimeoutMs: 1,
  maxSessionRecvBufferBytes: 1,
  maxWsMessageOutBytes: 1024,
};

const MOST: Partial<Record<keyof MuxOptions, number>> = {
  initialWindowBytes: WINDOW_BYTES_LIMIT,
  maxWindowBytes: WINDOW_BYTES_LIMIT,
  keepAliveJitter: 1,
  maxWsMessageOutBytes: BATCH_BYTES,
};

/**
 * Defaults with `partial` laid over them, checked and frozen.
 *
 * @throws ConfigError naming every setting that cannot be used
 */
export function muxOptions(partial: Partial<MuxOptions> = {}): MuxOptions {
  const options: MuxOptions = { ...DEFAULTS, ...partial };
  const problems: ConfigProblem[] = [];
  for (const key of Object.keys(options) as Array<keyof MuxOptions>) {
    const value = options[key];
    const standard = DEFAULTS[key];
    if (standard === undefined) {
      problems.push({ setting: key, problem: "is not a setting of the multiplexer" });
    } else if (typeof value !== typeof standard) {
      problems.push({ setting: key, problem: `must be a ${typeof standard}` });
    } else if (typeof value === "number") {
      const least = LEAST[key] ?? 0;
      const most = MOST[key] ?? Number.MAX_SAFE_INTEGER;
      if (!(value >= least && value <= most)) {
        problems.push({ setting: key, problem: `must be between ${least} and ${most}` });
      } else if (key !== "keepAliveJitter" && !Number.isInteger(value)) {
        problems.push({ setting: key, problem: "must be a whole number" });
      }
    }
  }
  if (options.maxWindowBytes < options.initialWindowBytes) {
    problems.push({ setting: "maxWindowBytes", problem: "must not be below initialWindowBytes" });
  }
  if (options.wsLowWaterBytes > options.wsHighWaterBytes) {
    problems.push({ setting: "wsLowWaterBytes", problem: "must not be above wsHighWaterBytes" });
  }
  if (options.overrunPolicy !== "session" && options.overrunPolicy !== "stream") {
    problems.push({ setting: "overrunPolicy", problem: 'must be "session" or "stream"' });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(options);
}
