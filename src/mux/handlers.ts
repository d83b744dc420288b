import type { AppError } from "../core/errors.ts";
import type { Session } from "./session.ts";
import type { Stream } from "./stream.ts";

/** Which end of a session this is: clients open odd stream ids, servers even ones. */
export type Role = "client" | "server";

/**
 * What a session tells its owner. A handler may call anything on the session and its streams.
 *
 * A handler that throws is a bug of ours: the session ends with GoAway(2) and close 1011, and
 * `sessionOnClose` gets ERR_MUX_INTERNAL with the exception as its cause.
 */
export interface SessionHandler {
  /**
   * The session has something to send: call `session.flush()` at the end of this loop turn, and
   * then look at `session.dueAt`, which may be earlier than what tick() returned. Called once per
   * dirty period.
   */
  sessionOnDirty(session: Session): void;
  /** Inbound SYN: call `stream.accept(handler)` or `stream.reset()`, now or later. */
  sessionOnStream(session: Session, stream: Stream): void;
  /** Remote GoAway(0): no new streams may be opened; running ones continue. */
  sessionOnGoAway(session: Session, code: number): void;
  /** The session is over, exactly once; every stream has already been told. */
  sessionOnClose(session: Session, error: AppError): void;
}

/** What a stream tells whoever uses it. Handlers are objects, not closures: nothing is allocated per event. */
export interface StreamHandler {
  /**
   * Payload bytes chunk[start, end): BORROWED until return, the chunk may be detached afterwards.
   * The bytes count as unconsumed until `stream.consume(n)` is called, now or later.
   */
  streamOnData(stream: Stream, chunk: Uint8Array, start: number, end: number): void;
  /** Peer's FIN: no more data. All data was delivered before. */
  streamOnEnd(stream: Stream): void;
  /** The send queue drained after write() returned false. */
  streamOnWritable(stream: Stream): void;
  /**
   * The stream is finished, exactly once, last event. `error` is null when both sides had ended and
   * all of ours was sent. Not called after our own `stream.reset()`, nor for a stream that was
   * never accepted: whoever puts off accept() looks at `stream.closed`.
   */
  streamOnClose(stream: Stream, error: AppError | null): void;
}

/** Stands in until an inbound stream is accepted. */
export const NO_HANDLER: StreamHandler = {
  streamOnData() {},
  streamOnEnd() {},
  streamOnWritable() {},
  streamOnClose() {},
};
