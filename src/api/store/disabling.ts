import { ENDED_COLUMNS, type EndedSession, userSessionsLock } from "./login-sessions.ts";
import type { Queries, Store } from "./store.ts";
import { scoped, type TenantId } from "./tenant.ts";
import { ensureTenant } from "./users.ts";

/** What has to be closed by the caller after somebody was disabled. */
export interface Disabled {
  readonly endedSessions: readonly EndedSession[];
  /** References of device tokens that are no longer good; their tunnels must end. */
  readonly tokenRefs: readonly string[];
  /** References of API keys that are no longer good; caches must forget them. */
  readonly keyRefs: readonly string[];
}

/**
 * Disables a user: no sign-in, no session, no pairing code; keys and device tokens are refused while it lasts. Null
 * where the tenant has no such user.
 */
export async function disableUser(
  store: Store,
  tenant: TenantId,
  id: string,
): Promise<Disabled | null> {
  const disabled = await store.transaction(async (queries) => {
    // A sign-in that is on its way is either over by now, or finds the user disabled.
    await store.lock(queries, userSessionsLock(id));
    const user = await queries
      .updateTable("users")
      .set({ disabledAt: store.now() })
      .where("tenant", "=", scoped(tenant))
      .where("id", "=", id)
      .returning("id")
      .executeTakeFirst();
    if (user === undefined) return null;
    return endAllOf(queries, tenant, id);
  });
  store.noteCredentialChange();
  return disabled;
}

/** Lets a user in again. Keys and device tokens are good as before; sessions and codes stay ended. */
export async function enableUser(store: Store, tenant: TenantId, id: string): Promise<boolean> {
  const user = await store.query
    .updateTable("users")
    .set({ disabledAt: null })
    .where("tenant", "=", scoped(tenant))
    .where("id", "=", id)
    .returning("id")
    .executeTakeFirst();
  store.noteCredentialChange();
  return user !== undefined;
}

/** Disables a tenant with all its users, one that has nobody yet too. */
export async function disableTenant(store: Store, tenant: TenantId): Promise<Disabled> {
  const disabled = await store.transaction(async (queries) => {
    const now = store.now();
    await ensureTenant(queries, tenant, now);
    await queries
      .updateTable("tenants")
      .set({ disabledAt: now })
      .where("id", "=", scoped(tenant))
      .execute();
    return endAllOf(queries, tenant, null);
  });
  store.noteCredentialChange();
  return disabled;
}

/** Lets a tenant in again, as {@link enableUser} does a user. */
export async function enableTenant(store: Store, tenant: TenantId): Promise<boolean> {
  const row = await store.query
    .updateTable("tenants")
    .set({ disabledAt: null })
    .where("id", "=", scoped(tenant))
    .returning("id")
    .executeTakeFirst();
  store.noteCredentialChange();
  return row !== undefined;
}

/** Ends what one user of the tenant has, or, with null, all of them. */
async function endAllOf(
  queries: Queries,
  tenant: TenantId,
  userId: string | null,
): Promise<Disabled> {
  const endedSessions = await queries
    .deleteFrom("loginSessions")
    .where("tenant", "=", scoped(tenant))
    .$if(userId !== null, (query) => query.where("userId", "=", userId ?? ""))
    .returning(ENDED_COLUMNS)
    .execute();
  await queries
    .updateTable("pairingCodes")
    .set({ state: "cancelled" })
    .where("tenant", "=", scoped(tenant))
    .where("state", "=", "unused")
    .$if(userId !== null, (query) => query.where("creatorId", "=", userId ?? ""))
    .execute();
  const tokens = await queries
    .selectFrom("deviceTokens")
    .innerJoin("devices", "devices.id", "deviceTokens.deviceId")
    .select("deviceTokens.ref")
    .where("devices.tenant", "=", scoped(tenant))
    .where("deviceTokens.endedAt", "is", null)
    .$if(userId !== null, (query) => query.where("devices.ownerId", "=", userId ?? ""))
    .execute();
  const keys = await queries
    .selectFrom("apiKeys")
    .select("ref")
    .where("tenant", "=", scoped(tenant))
    .where("revokedAt", "is", null)
    .$if(userId !== null, (query) => query.where("ownerId", "=", userId ?? ""))
    .execute();
  return {
    endedSessions,
    tokenRefs: tokens.map(({ ref }) => ref),
    keyRefs: keys.map(({ ref }) => ref),
  };
}
