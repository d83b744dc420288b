import { ClosedError, type Initiator, ProtocolError } from "../core/errors.ts";
import { CloseCode, GoAwayCode } from "./constants.ts";

/** Every code that the multiplexer raises, with its fixed text. Texts hold no bytes of the peer. */
export const MUX_ERRORS = {
  ERR_MUX_BAD_VERSION: "frame of an unknown version",
  ERR_MUX_BAD_TYPE: "frame of an unknown type",
  ERR_MUX_STREAM_ID_ZERO: "stream frame with stream id 0",
  ERR_MUX_ROLE_MISMATCH: "SYN with an id of our own parity: both ends have the same role",
  ERR_MUX_DUPLICATE_SYN: "SYN for a stream that exists",
  ERR_MUX_UNKNOWN_STREAM: "frame for a stream that was never opened",
  ERR_MUX_RECV_WINDOW_EXCEEDED: "Data beyond the receive window",
  ERR_MUX_SEND_WINDOW_OVERFLOW: "credit above 2^32 - 1",
  ERR_MUX_LATE_DATA_EXCEEDED: "more Data for removed streams than was ever granted",
  ERR_MUX_DATA_AFTER_FIN: "Data after FIN",
  ERR_MUX_ABUSE: "a rate budget is exhausted",
  ERR_MUX_TEXT_MESSAGE: "text message on a binary session",
  ERR_MUX_INTERNAL: "internal failure",
  ERR_MUX_SESSION_CLOSED: "the session is closed",
  ERR_MUX_GOING_AWAY: "the session takes no new streams",
  ERR_MUX_REMOTE_GO_AWAY: "the peer ended the session",
  ERR_MUX_STREAMS_EXHAUSTED: "all stream ids of the session are used",
  ERR_MUX_TOO_MANY_STREAMS: "too many streams are open",
  ERR_MUX_OPEN_QUEUE_FULL: "too many streams wait to be opened",
  ERR_MUX_OPEN_TIMEOUT: "the peer did not acknowledge the stream in time",
  ERR_MUX_ACCEPT_TIMEOUT: "the stream was not accepted in time",
  ERR_MUX_STREAM_REFUSED: "the peer refused the stream",
  ERR_MUX_STREAM_RESET: "the peer reset the stream",
  ERR_MUX_STREAM_CLOSED: "the stream is closed for writing",
  ERR_MUX_STREAM_STALLED: "the peer ended its side and takes no more data",
  ERR_MUX_HALF_CLOSE_TIMEOUT: "nothing moved on the half-closed stream",
  ERR_MUX_RECV_BUFFER_FULL: "the stream held most of a full receive buffer",
  ERR_MUX_TRANSPORT_LOST: "the transport was lost",
  ERR_MUX_KEEPALIVE_TIMEOUT: "the peer fell silent",
  ERR_MUX_SLOW_READER: "the peer does not read",
} as const;
export type MuxErrorCode = keyof typeof MUX_ERRORS;

/** The peer broke a rule: the session ends with GoAway(1) and close 1002, or as given. */
export function muxProtocolError(
  code: MuxErrorCode,
  closeCode: number = CloseCode.PROTOCOL_ERROR,
  goAwayCode: number = GoAwayCode.PROTOCOL_ERROR,
): ProtocolError {
  return new ProtocolError(code, MUX_ERRORS[code], { closeCode, goAwayCode });
}

/** The peer broke a rule on one stream; the session lives on. */
export function muxStreamError(code: MuxErrorCode): ProtocolError {
  return new ProtocolError(code, MUX_ERRORS[code], { scope: "stream" });
}

/** A session or stream is gone. */
export function muxClosedError(
  code: MuxErrorCode,
  initiator: Initiator,
  retriable = false,
  cause?: unknown,
): ClosedError {
  return new ClosedError(
    code,
    MUX_ERRORS[code],
    initiator,
    cause === undefined ? { retriable } : { retriable, cause },
  );
}
