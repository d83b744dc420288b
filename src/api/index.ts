/**
 * The API server: its HTTP layer, where routes are declared, a router holds them and a listener serves them; and its client
 * of the relay.
 */
export {
  type ApiApp,
  type ApiAppDeps,
  type ApiAppOptions,
  apiAppProblems,
  startApi,
} from "./app.ts";
export { AUTH_DEFAULTS, type AuthOptions, authOptionsProblems } from "./auth/index.ts";
export type { RequestRates } from "./bearer/index.ts";
export type { ApiContext, AuditEntry, AuditLog, Endings, RelayChanges } from "./context.ts";
export { actorOf } from "./context.ts";
export { sessionCookieName } from "./credential.ts";
export { DEVICE_DEFAULTS, type DeviceOptions } from "./devices/index.ts";
export { RunningByPrincipal } from "./endings.ts";
export {
  API_ERRORS,
  ApiError,
  type ApiErrorCode,
  type ApiErrorOptions,
  type ApiErrorRow,
  apiError,
} from "./errors.ts";
export { ApiMetrics } from "./metrics.ts";
export {
  checkOidcOptions,
  checkServiceClient,
  OidcError,
  type OidcOptions,
  type OidcSettings,
  Secret,
  type ServiceClientSettings,
  type ServiceToken,
} from "./oidc/index.ts";
export { type ApiInfo, describeApi } from "./openapi.ts";
export { type Change, Operator, type UserName, unknownScopes } from "./operator.ts";
export { API_DEFAULTS, type ApiOptions } from "./options.ts";
export type {
  Asker,
  Authenticator,
  AuthVerdict,
  Credential,
  HttpAudit,
  HttpAuditEvent,
  HttpObserver,
  Principal,
  PrincipalGate,
  PrincipalKind,
  Readiness,
  RouteClass,
  SessionFacts,
} from "./ports.ts";
export { escapeHtml } from "./problem.ts";
export {
  type CallOptions,
  RelayClient,
  type RelayClientLogger,
  type RelayClientOptions,
  type SessionListQuery,
} from "./relay-client.ts";
export {
  RELAY_CLIENT_ERRORS,
  RelayCallError,
  type RelayClientErrorCode,
} from "./relay-client-errors.ts";
export { empty, html, json, type Reply, redirect, stream, TAKEN, text } from "./reply.ts";
export { type BodyRule, type Call, type ResponseRule, type Route, route } from "./route.ts";
export { Router, type RouterFace } from "./router.ts";
export { ADMIN_SCOPES, ALL_SCOPES, SCOPES, type Scope } from "./scopes.ts";
export {
  type ApiServer,
  type ApiServerDeps,
  apiOptionsProblems,
  startApiServer,
} from "./server.ts";
export { descriptionRoute, healthRoutes, metricsRoute } from "./service-routes.ts";
export { fetchServiceToken } from "./service-token.ts";
