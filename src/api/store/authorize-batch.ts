import { type RawBuilder, sql } from "kysely";
import { assert } from "../../core/assert.ts";
import { digestsEqual } from "../../core/token.ts";
import { type CurrentApiKey, keyOf, LAST_USED_WRITE_MS } from "./api-keys.ts";
import { AUTHORIZE_MAX, opensTunnel, type TokenDigest } from "./device-tokens.ts";
import type { DatabaseKind, Store } from "./store.ts";
import type { TenantId } from "./tenant.ts";

/** References that {@link recheckTokens} takes at most. */
export const RECHECK_MAX = 1_000;

const NO_DIGEST = "0".repeat(64);

/**
 * Says for each key presented, in order, what it is good for, or null: unknown, wrong secret, revoked, expired, or of a
 * disabled owner or tenant. Changes nothing. One statement.
 *
 * @param presented at most {@link AUTHORIZE_MAX}
 */
export async function authorizeApiKeys(
  store: Store,
  presented: readonly TokenDigest[],
): Promise<(CurrentApiKey | null)[]> {
  assert(presented.length <= AUTHORIZE_MAX, "a batch of keys is within its limit");
  if (presented.length === 0) return [];
  const rows = await store.query
    .selectFrom("apiKeys")
    .innerJoin("users", "users.id", "apiKeys.ownerId")
    .innerJoin("tenants", "tenants.id", "apiKeys.tenant")
    .selectAll("apiKeys")
    .select("users.role as ownerRole")
    .where(
      oneOf(
        store.kind,
        "ref",
        presented.map(({ ref }) => ref),
      ),
    )
    .where("revokedAt", "is", null)
    .where("expiresAt", ">", store.now())
    .where("users.disabledAt", "is", null)
    .where("tenants.disabledAt", "is", null)
    .whereRef("users.tenant", "=", "apiKeys.tenant")
    .execute();
  const found = new Map(rows.map((row) => [row.ref, row]));
  return presented.map(({ ref, secretDigest }) => {
    const known = found.get(ref);
    // An unknown reference costs a comparison too.
    const equal = digestsEqual(known?.digest ?? NO_DIGEST, secretDigest);
    if (known === undefined || !equal) return null;
    const { ownerRole, ...row } = known;
    return { ...keyOf(row), ownerRole };
  });
}

/**
 * Notes that keys are in use, somewhere else than here. Each is written at most once in {@link LAST_USED_WRITE_MS}; one
 * statement, and none where all were written a moment ago.
 */
export async function noteApiKeysUsed(
  store: Store,
  keys: readonly { readonly ref: string; readonly lastUsedAt: number | null }[],
): Promise<void> {
  const now = store.now();
  const before = now - LAST_USED_WRITE_MS;
  const due = keys.filter(({ lastUsedAt }) => lastUsedAt === null || lastUsedAt <= before);
  if (due.length === 0) return;
  await store.query
    .updateTable("apiKeys")
    .set({ lastUsedAt: now })
    .where(
      oneOf(
        store.kind,
        "ref",
        due.map(({ ref }) => ref),
      ),
    )
    .where(({ eb, or }) => or([eb("lastUsedAt", "is", null), eb("lastUsedAt", "<=", before)]))
    .execute();
}

/** Whose a device is. */
export interface DeviceOwner {
  readonly tenant: TenantId;
  /** Nobody may call it yet. */
  readonly awaitsApproval: boolean;
}

/** Whose each device is, in order; null where there is no such device. One statement. */
export async function deviceOwners(
  store: Store,
  ids: readonly string[],
): Promise<(DeviceOwner | null)[]> {
  assert(ids.length <= AUTHORIZE_MAX, "a batch of devices is within its limit");
  if (ids.length === 0) return [];
  const rows = await store.query
    .selectFrom("devices")
    .select(["id", "tenant", "awaitsApproval"])
    .where(oneOf(store.kind, "id", ids))
    .execute();
  const found = new Map(
    rows.map(({ id, tenant, awaitsApproval }) => {
      return [id, { tenant, awaitsApproval: awaitsApproval === 1 }] as const;
    }),
  );
  return ids.map((id) => found.get(id) ?? null);
}

/** What {@link recheckTokens} found out. */
export interface RecheckedTokens {
  /** Good no longer, the unknown included. */
  readonly ended: readonly string[];
  /** Good, but the device counts as one that has never connected. */
  readonly pending: readonly string[];
  /** Good, but the device was seen last more than {@link SEEN_WRITE_MS} ago, as far as is written. */
  readonly unseen: readonly string[];
}

/** When a device was seen last is written at most once in this time while its tunnel is up. */
export const SEEN_WRITE_MS = 5 * 60_000;

/**
 * Looks at tokens whose tunnels are up. A device that had a time to connect did so: no token is let in after that. One
 * statement.
 *
 * @param refs at most {@link RECHECK_MAX}
 */
export async function recheckTokens(
  store: Store,
  refs: readonly string[],
): Promise<RecheckedTokens> {
  assert(refs.length <= RECHECK_MAX, "a batch of tokens is within its limit");
  if (refs.length === 0) return { ended: [], pending: [], unseen: [] };
  const rows = await store.query
    .selectFrom("deviceTokens")
    .innerJoin("devices", "devices.id", "deviceTokens.deviceId")
    .innerJoin("users", "users.id", "devices.ownerId")
    .innerJoin("tenants", "tenants.id", "devices.tenant")
    .select(["deviceTokens.ref", "deviceTokens.endedAt", "expiresAt", "goodUntil"])
    .select(["devices.state", "devices.lastSeenAt"])
    .select(["users.disabledAt as userDisabledAt", "tenants.disabledAt as tenantDisabledAt"])
    .where(oneOf(store.kind, "deviceTokens.ref", refs))
    .execute();
  const now = store.now();
  const good = new Set<string>();
  const pending: string[] = [];
  const unseen: string[] = [];
  for (const row of rows) {
    if (!opensTunnel({ ...row, activateBy: null }, now)) continue;
    good.add(row.ref);
    if (row.state === "pending") pending.push(row.ref);
    else if ((row.lastSeenAt ?? 0) <= now - SEEN_WRITE_MS) unseen.push(row.ref);
  }
  return { ended: refs.filter((ref) => !good.has(ref)), pending, unseen };
}

/** Who runs something, by what the store knows them by. */
export interface RunningPrincipals {
  /** SHA-256 of the ids of login sessions. */
  readonly sessions: readonly string[];
  /** References of API keys. */
  readonly keys: readonly string[];
}

/**
 * Which of these are let in no longer: ended, expired, of a disabled user or tenant, unknown. That a session was idle for
 * long does not count: what runs is its use. One statement for each list that is not empty.
 */
export async function findEndedPrincipals(
  store: Store,
  { sessions, keys }: RunningPrincipals,
): Promise<ReadonlySet<string>> {
  const now = store.now();
  const ended = new Set([...sessions, ...keys]);
  if (sessions.length > 0) {
    const good = await store.query
      .selectFrom("loginSessions")
      .innerJoin("users", "users.id", "loginSessions.userId")
      .innerJoin("tenants", "tenants.id", "loginSessions.tenant")
      .select("key")
      .where(oneOf(store.kind, "key", sessions))
      .where("absoluteExpiresAt", ">", now)
      .where("users.disabledAt", "is", null)
      .where("tenants.disabledAt", "is", null)
      .execute();
    for (const { key } of good) ended.delete(key);
  }
  if (keys.length > 0) {
    const good = await store.query
      .selectFrom("apiKeys")
      .innerJoin("users", "users.id", "apiKeys.ownerId")
      .innerJoin("tenants", "tenants.id", "apiKeys.tenant")
      .select("ref")
      .where(oneOf(store.kind, "ref", keys))
      .where("revokedAt", "is", null)
      .where("expiresAt", ">", now)
      .where("users.disabledAt", "is", null)
      .where("tenants.disabledAt", "is", null)
      .whereRef("users.tenant", "=", "apiKeys.tenant")
      .execute();
    for (const { ref } of good) ended.delete(ref);
  }
  return ended;
}

/** `column in (…)` with one parameter, however many values: the text of the statement stays the same. */
export function oneOf(
  kind: DatabaseKind,
  column: string,
  values: readonly string[],
): RawBuilder<boolean> {
  const ref = sql.ref(column);
  return kind === "sqlite"
    ? sql<boolean>`${ref} in (select value from json_each(${JSON.stringify(values)}))`
    : sql<boolean>`${ref} = any(${values}::text[])`;
}
