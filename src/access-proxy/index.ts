/** The access proxy: the calling side of TA cooperation, as a handler for `node:http` and a server. */
export type { Accounts, Principal, RelatedAccount } from "./accounts.ts";
export type { CallPath } from "./call.ts";
export { type CallerAuth, localCallers, namingUs, unixSocketCallers } from "./callers.ts";
export type { Destination, DestinationPolicy } from "./destinations.ts";
export {
  ACCESS_PROXY_ERRORS,
  AccessProxyError,
  type AccessProxyErrorCode,
  type AccessProxyErrorRow,
} from "./errors.ts";
export { accountHash, HASH_ALGORITHMS, type HashAlgorithm, referralHash } from "./half-hash.ts";
export {
  AccessProxy,
  type AccessProxyParts,
  type CallObserver,
  type CallOutcome,
} from "./handler.ts";
export { SIGNING_ALGORITHMS, type SigningAlgorithm } from "./key-choice.ts";
export { MemorySessions } from "./memory-sessions.ts";
export { ACCESS_PROXY_DEFAULTS, type AccessProxyOptions } from "./options.ts";
export type {
  IdpRecord,
  IdpStore,
  KeyStore,
  ProxySession,
  SessionStore,
  TokenRecord,
  TokenStore,
} from "./ports.ts";
export { type AccessProxyServerOptions, accessProxyServer } from "./server.ts";
export type { EdgeAccess } from "./target-client.ts";
export { readUnsignedJwt, writeUnsignedJwt } from "./unsigned-jwt.ts";
