/** The storage of the API server, on SQLite or PostgreSQL. The only folder that knows SQL. */
export {
  type AuditEvent,
  type AuditFilter,
  type AuditPage,
  appendAuditEvent,
  type NewAuditEvent,
  queryAuditEvents,
} from "./audit-events.ts";
export { STORE_ERRORS, type StoreErrorCode, type StoreLimit, StoreLimitError } from "./errors.ts";
export { type OpenOptions, openDatabase } from "./open.ts";
export type { PairingCodeState, Role } from "./schema.ts";
export type { DatabaseKind, Store } from "./store.ts";
export { type TenantId, tenantId } from "./tenant.ts";
export {
  findUserBySubject,
  getUser,
  listUsers,
  noteSignIn,
  type SignedInUser,
  setUserRole,
  type User,
} from "./users.ts";
