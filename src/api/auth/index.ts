/** Signing in and out in a browser, and the sessions that come of it. */
export { type Auth, createAuth } from "./auth.ts";
export { AUTH_ERRORS, type AuthErrorCode } from "./errors.ts";
export { type KeyRing, type KeyRingReading, readKeyRing } from "./key-ring.ts";
export {
  AUTH_DEFAULTS,
  type AuthOptions,
  authOptionsProblems,
  SESSION_ABSOLUTE_MS_MAX,
} from "./options.ts";
export { pageReply } from "./pages.ts";
