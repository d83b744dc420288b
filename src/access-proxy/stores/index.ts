/** Where an access proxy keeps what it knows: watched files, and tokens and sessions in a database of its own. */
export { type CallerEntry, CallersFile, callersSource, parseCallers } from "./callers-file.ts";
export {
  DestinationsFile,
  destinationsSource,
  parseDestinations,
} from "./destinations-file.ts";
export { ACCESS_PROXY_STORE_ERRORS, type AccessProxyStoreErrorCode } from "./errors.ts";
export { IdpsFile, idpsSource, parseIdps } from "./idps-file.ts";
export { type KeysContext, KeysFolder, keysSource, readKeysFolder } from "./keys-folder.ts";
export { type NewKey, newSigningKey } from "./new-key.ts";
export {
  openSessionStore,
  type SessionStoreOptions,
  type SqliteSessions,
} from "./session-store.ts";
export { STORE_FILES } from "./store-file.ts";
export {
  type ListedToken,
  type NewToken,
  openTokenStore,
  type SqliteTokens,
  type TokenStoreOptions,
} from "./token-store.ts";
export type { Source, Watched, WatchedOptions } from "./watched.ts";
