/** HTTP/1.1 on a stream: what is sent to a device, and the strict reading of what it answers. */
export { HTTP1_ERRORS } from "./errors.ts";
export { HeadMemory } from "./head-memory.ts";
export { framingProblem, RequestFields } from "./request-fields.ts";
export { checkMethod, checkTarget, type RequestHop, requestHead } from "./request-head.ts";
export type { HeadArena } from "./response-head.ts";
export { ResponseParser, type ResponseSink } from "./response-parser.ts";
