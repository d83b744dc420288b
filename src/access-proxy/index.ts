/** The access proxy: the calling side of TA cooperation, as a handler for `node:http`, and as a server with stores of its own. */

export {
  isSigningAlgorithm,
  SIGNING_ALGORITHMS,
  type SigningAlgorithm,
} from "../core/signing-algorithms.ts";
export type { Accounts, Principal, RelatedAccount } from "./accounts.ts";
export {
  type AccessProxyApp,
  type AccessProxyAppDeps,
  type AccessProxyAppOptions,
  startAccessProxy,
} from "./app.ts";
export type { CallPath } from "./call.ts";
export type { CallLog } from "./call-log.ts";
export { type CallerAuth, localCallers, namingUs, unixSocketCallers } from "./callers.ts";
export {
  CLIENT_ASSERTION_TYPE,
  ClientAssertions,
  type ClientAssertionsOptions,
} from "./client-assertion.ts";
export { withoutCookie } from "./cookies.ts";
export type { Destination, DestinationPolicy } from "./destinations.ts";
export type { EdgeAccess } from "./edge.ts";
export {
  ACCESS_PROXY_ERRORS,
  AccessProxyError,
  type AccessProxyErrorCode,
  type AccessProxyErrorRow,
  type OAuthErrorCode,
  printableAscii,
} from "./errors.ts";
export type { Resolve } from "./guarded-lookup.ts";
export {
  accountHash,
  HASH_ALGORITHMS,
  type HashAlgorithm,
  halfHash,
  halfHashLength,
  isHashAlgorithm,
  referralHash,
} from "./half-hash.ts";
export {
  AccessProxy,
  type AccessProxyParts,
  type CallObserver,
  type CallOutcome,
} from "./handler.ts";
export { readKeys } from "./idp-keys.ts";
export { chooseKey, type KeyWish } from "./key-choice.ts";
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
export { randomString } from "./random-string.ts";
export { type AccessProxyServerOptions, accessProxyServer } from "./server.ts";
export {
  ACCESS_PROXY_STORE_ERRORS,
  type AccessProxyStoreErrorCode,
  type CallerEntry,
  CallersFile,
  callersSource,
  DestinationsFile,
  destinationsSource,
  IdpsFile,
  idpsSource,
  KeysFolder,
  keysSource,
  type ListedToken,
  type NewKey,
  type NewToken,
  newSigningKey,
  openSessionStore,
  openTokenStore,
  type SessionStoreOptions,
  type Source,
  type SqliteSessions,
  type SqliteTokens,
  STORE_FILES,
  type TokenStoreOptions,
} from "./stores/index.ts";
export {
  decodePart,
  isObject,
  readUnsignedJwt,
  type UnsignedJwt,
  writeUnsignedJwt,
} from "./unsigned-jwt.ts";
