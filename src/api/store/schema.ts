import type { Generated } from "kysely";
import type { TenantId } from "./tenant.ts";

/**
 * The tables. Columns are snake_case in the database and camelCase here. Times are integer milliseconds UTC; lists are
 * JSON texts ({@link writeList}); a digest is 64 lower-case hex digits of SHA-256. No column holds a secret: `sealed…`
 * columns hold what the caller has encrypted with keys that the database does not know.
 */
export interface Schema {
  tenants: TenantsTable;
  users: UsersTable;
  loginSessions: LoginSessionsTable;
  pendingSignIns: PendingSignInsTable;
  logoutTokens: LogoutTokensTable;
  logoutNotices: LogoutNoticesTable;
  logoutTickets: LogoutTicketsTable;
  devices: DevicesTable;
  deviceTokens: DeviceTokensTable;
  pairingCodes: PairingCodesTable;
  enrolmentKeys: EnrolmentKeysTable;
  apiKeys: ApiKeysTable;
  auditEvents: AuditEventsTable;
  machineClients: MachineClientsTable;
  cliLogins: CliLoginsTable;
}

export interface TenantsTable {
  id: TenantId;
  createdAt: number;
  disabledAt: number | null;
}

/** What a user may do within the own tenant. */
export type Role = "member" | "admin";

export interface UsersTable {
  id: string;
  iss: string;
  sub: string;
  tenant: TenantId;
  role: Role;
  email: string | null;
  name: string | null;
  createdAt: number;
  lastSignInAt: number;
  disabledAt: number | null;
}

export interface LoginSessionsTable {
  key: string;
  publicId: string;
  tenant: TenantId;
  userId: string;
  iss: string;
  sub: string;
  idpSid: string | null;
  /** When the ID token of the sign-in was issued. */
  issuedAt: number;
  createdAt: number;
  lastSeenAt: number;
  absoluteExpiresAt: number;
  authTime: number;
  acr: string | null;
  amr: string;
  userAgent: string | null;
  ip: string | null;
  sealedTokens: string | null;
}

export interface PendingSignInsTable {
  browserKey: string;
  stateDigest: string;
  sealed: string;
  createdAt: number;
  expiresAt: number;
}

export interface LogoutTokensTable {
  iss: string;
  jti: string;
  expiresAt: number;
}

/** A provider's notice of logout, kept for the sign-ins that are on their way. "" stands for what it does not name. */
export interface LogoutNoticesTable {
  iss: string;
  sid: string;
  sub: string;
  issuedAt: number;
  expiresAt: number;
}

export interface LogoutTicketsTable {
  digest: string;
  sealed: string;
  expiresAt: number;
}

export interface DevicesTable {
  id: string;
  tenant: TenantId;
  ownerId: string;
  name: string;
  tags: string;
  model: string | null;
  serial: string | null;
  agentVersion: string | null;
  state: "pending" | "active";
  /** 1 until a person lets callers reach it; else 0. */
  awaitsApproval: number;
  createdAt: number;
  /** A pending device that has not connected by then is removed; null for one without such a deadline. */
  activateBy: number | null;
  firstConnectedAt: number | null;
  lastSeenAt: number | null;
  lastRemoteAddr: string | null;
  lastCloseReason: string | null;
}

export interface DeviceTokensTable {
  ref: string;
  digest: string;
  tenant: TenantId;
  deviceId: string;
  /** Counts the tokens of the device from 1; a later one displaces earlier ones when it is first used. */
  generation: number;
  createdAt: number;
  expiresAt: number | null;
  /** Set when the token was rotated: it is good until then at the latest. */
  goodUntil: number | null;
  lastUsedAt: number | null;
  endedAt: number | null;
}

/** What became of a pairing code. It never goes back to `unused`. */
export type PairingCodeState = "unused" | "used" | "cancelled" | "expired";

export interface PairingCodesTable {
  id: string;
  digest: string;
  prefix: string;
  tenant: TenantId;
  creatorId: string;
  state: PairingCodeState;
  createdAt: number;
  expiresAt: number;
  usedAt: number | null;
  deviceId: string | null;
}

export interface EnrolmentKeysTable {
  ref: string;
  digest: string;
  tenant: TenantId;
  creatorId: string;
  name: string;
  tags: string;
  uses: number;
  usesMax: number;
  createdAt: number;
  expiresAt: number;
  revokedAt: number | null;
}

export interface ApiKeysTable {
  ref: string;
  digest: string;
  tenant: TenantId;
  ownerId: string;
  name: string;
  scopes: string;
  /** Device ids that the key is confined to; null for all that its owner may reach. */
  devices: string | null;
  requestsPerMinute: number | null;
  createdAt: number;
  expiresAt: number;
  revokedAt: number | null;
  lastUsedAt: number | null;
  lastUsedIp: string | null;
}

export interface AuditEventsTable {
  id: Generated<number>;
  time: number;
  tenant: TenantId | null;
  event: string;
  requestId: string | null;
  actor: string | null;
  objectId: string | null;
  ip: string | null;
  userAgent: string | null;
  sessionRef: string | null;
  detail: string | null;
}

export interface MachineClientsTable {
  iss: string;
  clientId: string;
  tenant: TenantId;
  name: string;
  scopes: string;
  createdAt: number;
  disabledAt: number | null;
}

export interface CliLoginsTable {
  consentDigest: string;
  /** Null until the person has consented. */
  codeDigest: string | null;
  sessionKey: string;
  tenant: TenantId;
  userId: string;
  redirectUri: string;
  /** SHA-256 of the verifier that the command line keeps, in base64url. */
  codeChallenge: string;
  oauthState: string;
  name: string;
  scopes: string;
  keyLifetimeMs: number;
  createdAt: number;
  expiresAt: number;
}

/** The text of a column that holds a list of strings. */
export function writeList(list: readonly string[]): string {
  return JSON.stringify(list);
}

/** The list in such a column. */
export function readList(text: string): readonly string[] {
  return JSON.parse(text);
}
