/** Numbers of the wire and of the protocol, each with its place in the yamux specification. */

/** Bytes of a frame header ("Framing"). */
export const HEADER_BYTES = 12;

/** The only protocol version ("Version Field"). */
export const VERSION = 0;

/** "Type Field". */
export const FrameType = {
  DATA: 0,
  WINDOW_UPDATE: 1,
  PING: 2,
  GO_AWAY: 3,
} as const;

/** "Flag Field": a bit set, several may be present. */
export const Flag = {
  SYN: 1,
  ACK: 2,
  FIN: 4,
  RST: 8,
} as const;

/** "Go Away": the reason in the length field. */
export const GoAwayCode = {
  NORMAL: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
} as const;

/** WebSocket close codes that a session asks its transport for (RFC 6455 section 7.4). */
export const CloseCode = {
  NORMAL: 1000,
  GOING_AWAY: 1001,
  PROTOCOL_ERROR: 1002,
  UNSUPPORTED_DATA: 1003,
  POLICY: 1008,
  INTERNAL_ERROR: 1011,
} as const;

/** Credit that both directions of a stream start with, bytes ("Flow Control"). */
export const INITIAL_WINDOW_BYTES = 262_144;

/** Largest value of a send window: the field is an unsigned 32-bit number. */
export const WINDOW_BYTES_LIMIT = 0xffff_ffff;

/** Opening stops here, as in the Go implementation ("StreamID Field"). */
export const STREAM_ID_END = 0xffff_fffe;

/** Largest payload that is joined with other frames; longer ones leave by themselves. */
export const LARGE_WRITE_BYTES = 16_384;

/**
 * Bytes that one stream may send before the next one has its turn (Y73: 16 KiB at most). Four of them with their headers make one message
 * that the kernel passes on as one segment, over loopback too, whose segments carry 65,483 bytes.
 */
export const QUANTUM_BYTES = 16_320;

/** With less credit than this, and more than this waiting, a stream waits for more credit. */
export const SILLY_WINDOW_BYTES = 1_024;

/** Above this round trip large frames are cut, so that a pong never waits behind one. */
export const SPLIT_RTT_MS = 20;

/** Pongs that may wait for one flush; the oldest is dropped beyond it. */
export const PONGS_WAITING_MAX = 32;

/** A ping of ours that is unanswered for so long pauses Data. */
export const SLOW_PING_MS = 3_000;

/** While data flows, the round trip is measured at most this often. */
export const RTT_PING_INTERVAL_MS = 10_000;

/** Half of the time that a round trip sample stays in the minimum. */
export const RTT_BUCKET_MS = 30_000;

/** Late control frames that each removed or refused stream pays for. */
export const LATE_FRAMES_PER_STREAM = 8;

/** A reset by the peer within this time of its SYN is an early one. */
export const EARLY_RESET_MS = 1_000;

/** Window over which refusals and dropped pings are counted. */
export const ABUSE_WINDOW_MS = 10_000;

/** Receive-window overruns are forgiven twice in this time, with `overrunPolicy: "stream"`. */
export const OVERRUN_WINDOW_MS = 60_000;
