import type { Selectable } from "kysely";
import { digestsEqual } from "../../core/token.ts";
import type { TokenDigest } from "./device-tokens.ts";
import { StoreLimitError } from "./errors.ts";
import type { Grant } from "./pairing-codes.ts";
import { type EnrolmentKeysTable, readList, writeList } from "./schema.ts";
import type { Queries, Store } from "./store.ts";
import { scoped, type TenantId } from "./tenant.ts";

/** A key by which a fleet's devices enrol themselves, as the store has it: without the secret. */
export interface EnrolmentKey extends Omit<Selectable<EnrolmentKeysTable>, "digest" | "tags"> {
  readonly tags: readonly string[];
}

export const ENROLMENT_KEYS_PER_TENANT_MAX = 50;

const PUBLIC_COLUMNS = [
  "ref",
  "tenant",
  "creatorId",
  "name",
  "tags",
  "uses",
  "usesMax",
  "createdAt",
  "expiresAt",
  "revokedAt",
] as const;

/** @throws StoreLimitError `enrolment_keys_per_tenant` */
export function createEnrolmentKey(
  store: Store,
  tenant: TenantId,
  creatorId: string,
  key: TokenDigest & {
    readonly name: string;
    readonly tags: readonly string[];
    readonly usesMax: number;
    readonly expiresAt: number;
  },
  perTenantMax = ENROLMENT_KEYS_PER_TENANT_MAX,
): Promise<EnrolmentKey> {
  return store.transaction(async (queries) => {
    await store.lock(queries, `enrolment:${scoped(tenant)}`);
    const now = store.now();
    const { count } = await queries
      .selectFrom("enrolmentKeys")
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .where("tenant", "=", scoped(tenant))
      .where("revokedAt", "is", null)
      .where("expiresAt", ">", now)
      .executeTakeFirstOrThrow();
    if (count >= perTenantMax) throw new StoreLimitError("enrolment_keys_per_tenant");
    const row = await queries
      .insertInto("enrolmentKeys")
      .values({
        ref: key.ref,
        digest: key.secretDigest,
        tenant: scoped(tenant),
        creatorId,
        name: key.name,
        tags: writeList(key.tags),
        uses: 0,
        usesMax: key.usesMax,
        createdAt: now,
        expiresAt: key.expiresAt,
        revokedAt: null,
      })
      .returning(PUBLIC_COLUMNS)
      .executeTakeFirstOrThrow();
    return { ...row, tags: readList(row.tags) };
  });
}

/** The tenant's enrolment keys, the newest first, those that ended included. */
export async function listEnrolmentKeys(
  store: Store,
  tenant: TenantId,
  filter: { readonly limit: number },
): Promise<EnrolmentKey[]> {
  const rows = await store.query
    .selectFrom("enrolmentKeys")
    .select(PUBLIC_COLUMNS)
    .where("tenant", "=", scoped(tenant))
    .orderBy("createdAt", "desc")
    .orderBy("ref")
    .limit(filter.limit)
    .execute();
  return rows.map((row) => ({ ...row, tags: readList(row.tags) }));
}

/** Revokes a key for good; devices that it enrolled stay. Null where the tenant has no such key that is not revoked. */
export async function revokeEnrolmentKey(
  store: Store,
  tenant: TenantId,
  ref: string,
): Promise<EnrolmentKey | null> {
  const row = await store.query
    .updateTable("enrolmentKeys")
    .set({ revokedAt: store.now() })
    .where("tenant", "=", scoped(tenant))
    .where("ref", "=", ref)
    .where("revokedAt", "is", null)
    .returning(PUBLIC_COLUMNS)
    .executeTakeFirst();
  return row === undefined ? null : { ...row, tags: readList(row.tags) };
}

/** Takes one of a key's uses, within the caller's transaction. Null where none is left or the key is not good. */
export async function claimEnrolmentKey(
  queries: Queries,
  { ref, secretDigest }: TokenDigest,
  now: number,
): Promise<Grant | null> {
  const key = await queries
    .selectFrom("enrolmentKeys")
    .innerJoin("users", "users.id", "enrolmentKeys.creatorId")
    .innerJoin("tenants", "tenants.id", "enrolmentKeys.tenant")
    .select(["enrolmentKeys.digest", "enrolmentKeys.tags", "enrolmentKeys.tenant", "creatorId"])
    .where("ref", "=", ref)
    .where("users.disabledAt", "is", null)
    .where("tenants.disabledAt", "is", null)
    .whereRef("users.tenant", "=", "enrolmentKeys.tenant")
    .executeTakeFirst();
  if (key === undefined || !digestsEqual(key.digest, secretDigest)) return null;
  const claimed = await queries
    .updateTable("enrolmentKeys")
    .set(({ eb }) => ({ uses: eb("uses", "+", 1) }))
    .where("ref", "=", ref)
    .where("revokedAt", "is", null)
    .where("expiresAt", ">", now)
    .whereRef("uses", "<", "usesMax")
    .returning("ref")
    .executeTakeFirst();
  if (claimed === undefined) return null;
  return { tenant: key.tenant, ownerId: key.creatorId, tags: readList(key.tags) };
}
