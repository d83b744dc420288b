import { type Selectable, sql } from "kysely";
import type { Role, UsersTable } from "./schema.ts";
import { mintObjectId, type Queries, type Store } from "./store.ts";
import { scoped, type TenantId } from "./tenant.ts";

/** A person, known by (`iss`, `sub`). E-mail and name are for display alone. */
export type User = Selectable<UsersTable>;

/** What an identity provider says of somebody who signs in. */
export interface SignedInUser {
  readonly iss: string;
  readonly sub: string;
  /** Absent where no claim says so: a role that was given before stays. */
  readonly role?: Role;
  readonly email: string | null;
  readonly name: string | null;
}

/**
 * Notes a sign-in: makes the user and the tenant where they are new, else renews what the provider says. A user that
 * the provider moves to another tenant leaves devices, keys and a role given by hand behind, and those keys stop working.
 *
 * @returns the user, or null where user or tenant is disabled
 */
export async function noteSignIn(
  store: Store,
  tenant: TenantId,
  { iss, sub, role, email, name }: SignedInUser,
): Promise<User | null> {
  const signedIn = await store.transaction(async (queries) => {
    const now = store.now();
    await ensureTenant(queries, tenant, now);
    const user = await queries
      .insertInto("users")
      .values({
        id: mintObjectId(),
        iss,
        sub,
        tenant: scoped(tenant),
        role: role ?? "member",
        email,
        name,
        createdAt: now,
        lastSignInAt: now,
        disabledAt: null,
      })
      .onConflict((conflict) =>
        conflict.columns(["iss", "sub"]).doUpdateSet({
          tenant: scoped(tenant),
          // One that was given by hand is good in the tenant that it was given in.
          role:
            role ??
            sql<Role>`case when users.tenant = ${scoped(tenant)} then users.role else 'member' end`,
          email,
          name,
          lastSignInAt: now,
        }),
      )
      .returningAll()
      .executeTakeFirstOrThrow();
    if (user.disabledAt !== null || (await isTenantDisabled(queries, tenant))) return null;
    return user;
  });
  // Role and tenant may be others than before.
  store.noteCredentialChange();
  return signedIn;
}

/** Makes the tenant's row where it is missing. */
export async function ensureTenant(queries: Queries, tenant: TenantId, now: number): Promise<void> {
  await queries
    .insertInto("tenants")
    .values({ id: scoped(tenant), createdAt: now, disabledAt: null })
    .onConflict((conflict) => conflict.column("id").doNothing())
    .execute();
}

async function isTenantDisabled(queries: Queries, tenant: TenantId): Promise<boolean> {
  const row = await queries
    .selectFrom("tenants")
    .select("disabledAt")
    .where("id", "=", scoped(tenant))
    .executeTakeFirst();
  return row !== undefined && row.disabledAt !== null;
}

/** The user of that id in the tenant, disabled or not. */
export async function getUser(store: Store, tenant: TenantId, id: string): Promise<User | null> {
  const user = await store.query
    .selectFrom("users")
    .selectAll()
    .where("tenant", "=", scoped(tenant))
    .where("id", "=", id)
    .executeTakeFirst();
  return user ?? null;
}

/** Who that is to the provider, in whatever tenant: for the operator's commands. */
export async function findUserBySubject(
  store: Store,
  iss: string,
  sub: string,
): Promise<User | null> {
  const user = await store.query
    .selectFrom("users")
    .selectAll()
    .where("iss", "=", iss)
    .where("sub", "=", sub)
    .executeTakeFirst();
  return user ?? null;
}

/** The tenant's users in the order of their ids, after the one of id `after`. */
export function listUsers(
  store: Store,
  tenant: TenantId,
  page: { readonly limit: number; readonly after?: string },
): Promise<User[]> {
  return store.query
    .selectFrom("users")
    .selectAll()
    .where("tenant", "=", scoped(tenant))
    .where("id", ">", page.after ?? "")
    .orderBy("id")
    .limit(page.limit)
    .execute();
}

/** Gives a role. Null where the tenant has no such user. */
export async function setUserRole(
  store: Store,
  tenant: TenantId,
  id: string,
  role: Role,
): Promise<User | null> {
  const user = await store.query
    .updateTable("users")
    .set({ role })
    .where("tenant", "=", scoped(tenant))
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirst();
  store.noteCredentialChange();
  return user ?? null;
}
