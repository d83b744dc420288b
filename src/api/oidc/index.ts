export { AccessTokens, type MachinePrincipal } from "./access-token.ts";
export {
  OIDC_ERRORS,
  OidcError,
  type OidcErrorCode,
  type OidcErrorRow,
  toOidcError,
} from "./errors.ts";
export type { Identity } from "./identity.ts";
export type { EndSession } from "./logout.ts";
export {
  type BackchannelLogout,
  type BackchannelResult,
  LOGOUT_BODY_BYTES_MAX,
} from "./logout-token.ts";
export { checkOidcOptions, type OidcOptions } from "./options.ts";
export {
  type IdpCallKind,
  type IdpCallResult,
  type IdpObserver,
  type LogoutNotice,
  type LogoutSink,
  type MachineClient,
  type MachineClients,
  noticeCovers,
  type OidcClock,
  type OidcFetch,
  type OidcLog,
  type OidcPorts,
  type OidcTimers,
  PENDING_TTL_MS,
  type PendingSignIn,
  type PendingSignIns,
  type SignInRef,
} from "./ports.ts";
export type { ProviderState } from "./provider.ts";
export { RelyingParty, type RelyingPartyStores } from "./relying-party.ts";
export { readReturnTo, returnToUrl } from "./return-to.ts";
export { Secret } from "./secret.ts";
export {
  checkServiceClient,
  type ServiceClientOptions,
  type ServiceClientSettings,
} from "./service-client.ts";
export { type ServiceToken, ServiceTokens } from "./service-tokens.ts";
export {
  type AccessTokenSettings,
  CALLBACK_PATH,
  type ClientCredentials,
  LOGGED_OUT_PATH,
  type OidcSettings,
} from "./settings.ts";
export type { BeginSignIn, SignedIn, SignIn } from "./sign-in.ts";
