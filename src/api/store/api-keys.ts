import type { Selectable } from "kysely";
import { digestsEqual } from "../../core/token.ts";
import type { TokenDigest } from "./device-tokens.ts";
import { StoreLimitError, storeError } from "./errors.ts";
import { type ApiKeysTable, type Role, readList, writeList } from "./schema.ts";
import type { Store } from "./store.ts";
import { scoped, type TenantId } from "./tenant.ts";

/** An API key as the store has it: without the secret. */
export interface ApiKey extends Omit<Selectable<ApiKeysTable>, "digest" | "scopes" | "devices"> {
  readonly scopes: readonly string[];
  /** Ids of the devices that it is confined to; null for all that its owner may reach. */
  readonly devices: readonly string[] | null;
}

/** A key that is good, with the role that its owner has now: its scopes reach no further. */
export interface CurrentApiKey extends ApiKey {
  readonly ownerRole: Role;
}

/** What a key is made of. */
export interface NewApiKey extends TokenDigest {
  readonly name: string;
  readonly scopes: readonly string[];
  readonly devices: readonly string[] | null;
  readonly requestsPerMinute: number | null;
  readonly expiresAt: number;
}

export const KEYS_PER_USER_MAX = 20;

/** A key's last use is written at most once in this time. */
export const LAST_USED_WRITE_MS = 60_000;

const NO_DIGEST = "0".repeat(64);

/**
 * Adds a key of a user.
 *
 * @throws StoreLimitError `keys_per_user`: so many are neither revoked nor expired
 */
export function createApiKey(
  store: Store,
  tenant: TenantId,
  ownerId: string,
  key: NewApiKey,
  perUserMax = KEYS_PER_USER_MAX,
): Promise<ApiKey> {
  return store.transaction(async (queries) => {
    await store.lock(queries, `keys:${ownerId}`);
    const now = store.now();
    const { count } = await queries
      .selectFrom("apiKeys")
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .where("tenant", "=", scoped(tenant))
      .where("ownerId", "=", ownerId)
      .where("revokedAt", "is", null)
      .where("expiresAt", ">", now)
      .executeTakeFirstOrThrow();
    if (count >= perUserMax) throw new StoreLimitError("keys_per_user");
    const row = await queries
      .insertInto("apiKeys")
      .values({
        ref: key.ref,
        digest: key.secretDigest,
        tenant: scoped(tenant),
        ownerId,
        name: key.name,
        scopes: writeList(key.scopes),
        devices: key.devices === null ? null : writeList(key.devices),
        requestsPerMinute: key.requestsPerMinute,
        createdAt: now,
        expiresAt: key.expiresAt,
        revokedAt: null,
        lastUsedAt: null,
        lastUsedIp: null,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    return keyOf(row);
  });
}

/** The key of a row. Takes the digest out, so that it is in no answer. */
export function keyOf({ digest: _, ...row }: Selectable<ApiKeysTable>): ApiKey {
  return {
    ...row,
    scopes: readList(row.scopes),
    devices: row.devices === null ? null : readList(row.devices),
  };
}

/** A page of keys. Without `next` it is the last one. */
export interface ApiKeyPage {
  readonly keys: readonly ApiKey[];
  readonly next?: string;
}

/** Which keys {@link queryApiKeys} gives. */
export interface ApiKeyFilter {
  /** At most so many a page. */
  readonly limit: number;
  readonly ownerId?: string;
  readonly cursor?: string;
}

/**
 * The tenant's keys, or one user's, the newest first; those that ended are among them.
 *
 * @throws AppError `ERR_STORE_CURSOR_INVALID`
 */
export async function queryApiKeys(
  store: Store,
  tenant: TenantId,
  { limit, ownerId, cursor }: ApiKeyFilter,
): Promise<ApiKeyPage> {
  let query = store.query
    .selectFrom("apiKeys")
    .selectAll()
    .where("tenant", "=", scoped(tenant))
    .orderBy("createdAt", "desc")
    .orderBy("ref")
    .limit(limit + 1);
  if (ownerId !== undefined) query = query.where("ownerId", "=", ownerId);
  if (cursor !== undefined) {
    const { createdAt, ref } = readCursor(cursor);
    query = query.where(({ eb, or, and }) =>
      or([
        eb("createdAt", "<", createdAt),
        and([eb("createdAt", "=", createdAt), eb("ref", ">", ref)]),
      ]),
    );
  }
  const rows = await query.execute();
  const keys = rows.slice(0, limit).map(keyOf);
  const last = keys.at(-1);
  return rows.length > limit && last !== undefined
    ? { keys, next: `${last.createdAt.toString(36)}.${last.ref}` }
    : { keys };
}

function readCursor(cursor: string): { readonly createdAt: number; readonly ref: string } {
  const [, time = "", ref = ""] = /^([0-9a-z]{1,10})\.(hwk_[0-9A-Za-z]{8})$/.exec(cursor) ?? [];
  if (ref === "") throw storeError("ERR_STORE_CURSOR_INVALID");
  return { createdAt: Number.parseInt(time, 36), ref };
}

/** The key of that reference in the tenant. */
export async function getApiKey(
  store: Store,
  tenant: TenantId,
  ref: string,
): Promise<ApiKey | null> {
  const row = await store.query
    .selectFrom("apiKeys")
    .selectAll()
    .where("tenant", "=", scoped(tenant))
    .where("ref", "=", ref)
    .executeTakeFirst();
  return row === undefined ? null : keyOf(row);
}

/** Whether any tenant has a key of that reference: for the audit log, and never for an answer. */
export async function hasApiKey(store: Store, ref: string): Promise<boolean> {
  const row = await store.query
    .selectFrom("apiKeys")
    .select("ref")
    .where("ref", "=", ref)
    .executeTakeFirst();
  return row !== undefined;
}

/** Revokes a key for good. Null where the tenant has no such key that is not revoked. */
export async function revokeApiKey(
  store: Store,
  tenant: TenantId,
  ref: string,
): Promise<ApiKey | null> {
  const row = await store.query
    .updateTable("apiKeys")
    .set({ revokedAt: store.now() })
    .where("tenant", "=", scoped(tenant))
    .where("ref", "=", ref)
    .where("revokedAt", "is", null)
    .returningAll()
    .executeTakeFirst();
  store.noteCredentialChange();
  return row === undefined ? null : keyOf(row);
}

/**
 * Finds the key that a caller presents. Null, without a word why, where it is unknown, its secret wrong, revoked,
 * expired, or its owner or tenant disabled.
 */
export async function findApiKey(
  store: Store,
  { ref, secretDigest }: TokenDigest,
): Promise<CurrentApiKey | null> {
  const found = await store.query
    .selectFrom("apiKeys")
    .innerJoin("users", "users.id", "apiKeys.ownerId")
    .innerJoin("tenants", "tenants.id", "apiKeys.tenant")
    .selectAll("apiKeys")
    .select("users.role as ownerRole")
    .where("ref", "=", ref)
    .where("revokedAt", "is", null)
    .where("expiresAt", ">", store.now())
    .where("users.disabledAt", "is", null)
    .where("tenants.disabledAt", "is", null)
    .whereRef("users.tenant", "=", "apiKeys.tenant")
    .executeTakeFirst();
  const equal = digestsEqual(found?.digest ?? NO_DIGEST, secretDigest);
  if (found === undefined || !equal) return null;
  const { ownerRole, ...row } = found;
  return { ...keyOf(row), ownerRole };
}

/** Notes a use. Writes at most once in {@link LAST_USED_WRITE_MS}. */
export async function noteApiKeyUsed(store: Store, ref: string, ip: string | null): Promise<void> {
  const now = store.now();
  await store.query
    .updateTable("apiKeys")
    .set({ lastUsedAt: now, lastUsedIp: ip })
    .where("ref", "=", ref)
    .where(({ eb, or }) =>
      or([eb("lastUsedAt", "is", null), eb("lastUsedAt", "<=", now - LAST_USED_WRITE_MS)]),
    )
    .execute();
}
