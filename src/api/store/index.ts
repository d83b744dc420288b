/** The storage of the API server, on SQLite or PostgreSQL. The only folder that knows SQL. */
export {
  type ApiKey,
  type ApiKeyFilter,
  type ApiKeyPage,
  type CurrentApiKey,
  createApiKey,
  findApiKey,
  getApiKey,
  hasApiKey,
  KEYS_PER_USER_MAX,
  LAST_USED_WRITE_MS,
  type NewApiKey,
  noteApiKeyUsed,
  queryApiKeys,
  revokeApiKey,
} from "./api-keys.ts";
export {
  AUDIT_BATCH_MAX,
  type AuditEvent,
  type AuditFilter,
  type AuditPage,
  appendAuditEvent,
  appendAuditEvents,
  type NewAuditEvent,
  type NewAuditRow,
  queryAuditEvents,
} from "./audit-events.ts";
export {
  authorizeApiKeys,
  type DeviceOwner,
  deviceOwners,
  findEndedPrincipals,
  noteApiKeysUsed,
  RECHECK_MAX,
  type RecheckedTokens,
  type RunningPrincipals,
  recheckTokens,
  SEEN_WRITE_MS,
} from "./authorize-batch.ts";
export { isReachable, isStoreAway, STORE_RETRY_S } from "./availability.ts";
export {
  addCliLogin,
  approveCliLogin,
  CLI_LOGIN_LIMITS,
  type CliLogin,
  type CliLoginLimits,
  type ConsentAnswer,
  declineCliLogin,
  type NewCliLogin,
  takeCliLogin,
} from "./cli-logins.ts";
export {
  AUTHORIZE_MAX,
  type AuthorizedDevice,
  authorizeDeviceTokens,
  createDeviceWithToken,
  type DeviceToken,
  listDeviceTokens,
  type ReplacedTokens,
  ROTATION_GRACE_MS,
  replaceDeviceTokens,
  revokeDeviceTokens,
  rotateDeviceToken,
  TOKENS_PER_DEVICE_MAX,
  type TokenDigest,
} from "./device-tokens.ts";
export {
  ACTIVATION_MS,
  approveDevice,
  changeDevice,
  createDevice,
  type Device,
  type DeviceFilter,
  deleteDevice,
  findDeviceIds,
  getDevice,
  listDevices,
  type NewDevice,
  type RemovedDevice,
  removeUnconnectedDevices,
} from "./devices.ts";
export {
  type Disabled,
  disableTenant,
  disableUser,
  enableTenant,
  enableUser,
} from "./disabling.ts";
export {
  createEnrolmentKey,
  ENROLMENT_KEYS_PER_TENANT_MAX,
  type EnrolmentKey,
  listEnrolmentKeys,
  revokeEnrolmentKey,
} from "./enrolment-keys.ts";
export { STORE_ERRORS, type StoreErrorCode, type StoreLimit, StoreLimitError } from "./errors.ts";
export {
  type Credential,
  type EnrollingDevice,
  type ExchangeOptions,
  type ExchangeStep,
  exchangeCredential,
} from "./exchange.ts";
export { ENDED_KEPT_MS, removeExpired } from "./housekeeping.ts";
export {
  addLogoutTicket,
  endLoginSessionsByProvider,
  LOGOUT_TICKET_MS,
  type LogoutToken,
  takeLogoutTicket,
} from "./idp-logouts.ts";
export {
  type CurrentLoginSession,
  countLoginSessions,
  type EndedSession,
  endLoginSession,
  endLoginSessionByKey,
  endLoginSessionsOfUser,
  findLoginSession,
  isSignInEnded,
  LAST_SEEN_WRITE_MS,
  type LoginSession,
  listLoginSessions,
  type NewLoginSession,
  SESSIONS_PER_USER_MAX,
  startLoginSession,
  TOMBSTONE_MS,
} from "./login-sessions.ts";
export {
  disableMachineClient,
  findMachineClient,
  listMachineClients,
  type MachineClient,
  registerMachineClient,
} from "./machine-clients.ts";
export { type OpenOptions, openDatabase } from "./open.ts";
export {
  findKeyTenant,
  findUserOfAny,
  hasTenant,
  listTenants,
  listUsersOfAll,
  type TenantOverview,
} from "./operator.ts";
export {
  cancelPairingCode,
  createPairingCode,
  listPairingCodes,
  PAIRING_LIMITS,
  type PairingCode,
  type PairingLimits,
} from "./pairing-codes.ts";
export {
  addPendingSignIn,
  type BrowserTrace,
  findBrowserTrace,
  PENDING_LIMITS,
  type PendingLimits,
  type PendingSignIn,
  takePendingSignIn,
} from "./pending-sign-ins.ts";
export type { PairingCodeState, Role } from "./schema.ts";
export type { DatabaseKind, Store } from "./store.ts";
export { type TenantId, tenantId } from "./tenant.ts";
export {
  type NotedTunnels,
  noteDevicesSeen,
  noteTunnels,
  TUNNEL_NOTES_MAX,
  type TunnelAuditEvent,
  type TunnelNote,
} from "./tunnel-notes.ts";
export {
  findUserBySubject,
  getUser,
  listUsers,
  noteSignIn,
  type SignedInUser,
  setUserRole,
  type User,
} from "./users.ts";
