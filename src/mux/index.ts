/** The public face of the multiplexer: yamux over any transport of binary messages. */
export { ByteQueue } from "./byte-queue.ts";
export { CloseCode, GoAwayCode, HEADER_BYTES, INITIAL_WINDOW_BYTES } from "./constants.ts";
export { SessionCounters } from "./counters.ts";
export { toDuplex } from "./duplex.ts";
export { MUX_ERRORS, type MuxErrorCode } from "./errors.ts";
export type { Role, SessionHandler, StreamHandler } from "./handlers.ts";
export { type MuxOptions, muxOptions } from "./options.ts";
export { MuxPools, type PoolLimits } from "./pools.ts";
export { Session } from "./session.ts";
export { Stream } from "./stream.ts";
export { SendResult, type Transport } from "./transport.ts";
