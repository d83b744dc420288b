/** Who a request is from: keys, device tokens, machine tokens and the relay's secret; and how often each may ask. */
export { ApiAuthenticator, type CookieAuthenticator } from "./api-authenticator.ts";
export { BearerAuthenticator, type BearerDeps } from "./bearer-authenticator.ts";
export { allowedScopes, isScope } from "./key-scopes.ts";
export { KeyVerdicts, VERDICT_MS } from "./key-verdicts.ts";
export { StoredMachineClients } from "./machine-clients.ts";
export {
  type PrincipalLimitOptions,
  PrincipalLimits,
  REQUEST_RATES,
  type RequestRates,
} from "./principal-limits.ts";
