/** API keys: how they are made, listed and revoked. Who may use one is decided in `bearer`. */
export { KEY_ERRORS, type KeyErrorCode, keyError } from "./errors.ts";
export {
  type IssuedKey,
  issueKey,
  KEY_LIFE_DEFAULT_MS,
  KEY_LIFE_MAX_MS,
  type KeyOwner,
  type KeyWish,
} from "./issue-key.ts";
export { machineClientRoutes } from "./machine-client-routes.ts";
export { keyRoutes, REAUTH_MS } from "./routes.ts";
export { showKey, shownKey } from "./shapes.ts";
