/** The API server: its HTTP layer. Routes are declared, a router holds them. */

export { AuthFailures } from "./auth-failures.ts";
export { corsHeaders, isPreflight } from "./cors.ts";
export { hasTokenInQuery, presentedBy, sessionCookieName } from "./credential.ts";
export { csrfFault, isForeignRead, type Origins } from "./csrf.ts";
export {
  API_ERRORS,
  ApiError,
  type ApiErrorCode,
  type ApiErrorOptions,
  type ApiErrorRow,
  apiError,
} from "./errors.ts";
export { decidePath, type PathDecision } from "./path.ts";
export type {
  Asker,
  Authenticator,
  AuthVerdict,
  Credential,
  Principal,
  PrincipalKind,
  RouteClass,
} from "./ports.ts";
export { empty, html, json, type Reply, redirect, stream, TAKEN, text } from "./reply.ts";
export { type BodyRule, type Call, type ResponseRule, type Route, route } from "./route.ts";
export { Router, type RouterFace } from "./router.ts";
