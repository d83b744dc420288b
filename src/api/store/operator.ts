import type { Selectable } from "kysely";
import type { TenantsTable } from "./schema.ts";
import type { Store } from "./store.ts";
import { scoped, type TenantId } from "./tenant.ts";
import type { User } from "./users.ts";

/**
 * What the operator of a server sees across tenants. For commands that work on the database itself; nothing that answers
 * a request may call these.
 */

/** A tenant, with how many users it has. */
export type TenantOverview = Selectable<TenantsTable> & { readonly users: number };

/** All tenants in the order of their ids, after the one of id `after`. */
export async function listTenants(
  store: Store,
  page: { readonly limit: number; readonly after?: string },
): Promise<TenantOverview[]> {
  const rows = await store.query
    .selectFrom("tenants")
    .leftJoin("users", "users.tenant", "tenants.id")
    .selectAll("tenants")
    .select(({ fn }) => fn.count<number>("users.id").as("users"))
    .where("tenants.id", ">", (page.after ?? "") as TenantId)
    .groupBy(["tenants.id", "tenants.createdAt", "tenants.disabledAt"])
    .orderBy("tenants.id")
    .limit(page.limit)
    .execute();
  return rows.map((row) => ({ ...row, users: Number(row.users) }));
}

/** Whether there is such a tenant. */
export async function hasTenant(store: Store, tenant: TenantId): Promise<boolean> {
  const row = await store.query
    .selectFrom("tenants")
    .select("id")
    .where("id", "=", scoped(tenant))
    .executeTakeFirst();
  return row !== undefined;
}

/** The users of all tenants in the order of their ids, after the one of id `after`. */
export function listUsersOfAll(
  store: Store,
  page: { readonly limit: number; readonly after?: string },
): Promise<User[]> {
  return store.query
    .selectFrom("users")
    .selectAll()
    .where("id", ">", page.after ?? "")
    .orderBy("id")
    .limit(page.limit)
    .execute();
}

/** The user of that id, in whatever tenant. */
export async function findUserOfAny(store: Store, id: string): Promise<User | null> {
  const user = await store.query
    .selectFrom("users")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  return user ?? null;
}

/** Whose the key of that reference is; null where there is none. */
export async function findKeyTenant(store: Store, ref: string): Promise<TenantId | null> {
  const key = await store.query
    .selectFrom("apiKeys")
    .select("tenant")
    .where("ref", "=", ref)
    .executeTakeFirst();
  return key?.tenant ?? null;
}
