import type { Selectable } from "kysely";
import { digestsEqual } from "../../core/token.ts";
import { StoreLimitError } from "./errors.ts";
import type { PairingCodesTable } from "./schema.ts";
import { mintObjectId, type Queries, type Store } from "./store.ts";
import { scoped, type TenantId } from "./tenant.ts";

/** A pairing code as the store has it: the code itself is known to nobody but whom it was shown to. */
export type PairingCode = Omit<Selectable<PairingCodesTable>, "digest">;

/** Limits of {@link createPairingCode}: codes that can be used at once, and how long. */
export interface PairingLimits {
  readonly perUserMax: number;
  readonly perTenantMax: number;
  readonly ttlMs: number;
}

export const PAIRING_LIMITS: PairingLimits = {
  perUserMax: 5,
  perTenantMax: 50,
  ttlMs: 10 * 60_000,
};

const PUBLIC_COLUMNS = [
  "id",
  "prefix",
  "tenant",
  "creatorId",
  "state",
  "createdAt",
  "expiresAt",
  "usedAt",
  "deviceId",
] as const;

/**
 * Adds a code. Tenant and creator are bound to it here; a device that uses it has no say in them.
 *
 * @param code.digest SHA-256 of the normalised code
 * @param code.prefix its first characters, by which a listing shows it
 * @throws StoreLimitError `codes_per_user`, `codes_per_tenant`
 */
export function createPairingCode(
  store: Store,
  tenant: TenantId,
  creatorId: string,
  code: { readonly digest: string; readonly prefix: string },
  limits: PairingLimits = PAIRING_LIMITS,
): Promise<PairingCode> {
  return store.transaction(async (queries) => {
    await store.lock(queries, `codes:${scoped(tenant)}`);
    const now = store.now();
    const live = await queries
      .selectFrom("pairingCodes")
      .select("creatorId")
      .where("tenant", "=", scoped(tenant))
      .where("state", "=", "unused")
      .where("expiresAt", ">", now)
      .execute();
    if (live.filter((other) => other.creatorId === creatorId).length >= limits.perUserMax) {
      throw new StoreLimitError("codes_per_user");
    }
    if (live.length >= limits.perTenantMax) throw new StoreLimitError("codes_per_tenant");
    return queries
      .insertInto("pairingCodes")
      .values({
        id: mintObjectId(),
        digest: code.digest,
        prefix: code.prefix,
        tenant: scoped(tenant),
        creatorId,
        state: "unused",
        createdAt: now,
        expiresAt: now + limits.ttlMs,
        usedAt: null,
        deviceId: null,
      })
      .returning(PUBLIC_COLUMNS)
      .executeTakeFirstOrThrow();
  });
}

/** The tenant's codes, the newest first; one that has run out is shown as expired. */
export async function listPairingCodes(
  store: Store,
  tenant: TenantId,
  filter: { readonly limit: number; readonly creatorId?: string },
): Promise<PairingCode[]> {
  let query = store.query
    .selectFrom("pairingCodes")
    .select(PUBLIC_COLUMNS)
    .where("tenant", "=", scoped(tenant))
    .orderBy("createdAt", "desc")
    .orderBy("id")
    .limit(filter.limit);
  if (filter.creatorId !== undefined) query = query.where("creatorId", "=", filter.creatorId);
  const now = store.now();
  return (await query.execute()).map((code) =>
    code.state === "unused" && code.expiresAt <= now ? { ...code, state: "expired" } : code,
  );
}

/** Cancels a code for good. Null where the tenant has no such code that could still be used. */
export async function cancelPairingCode(
  store: Store,
  tenant: TenantId,
  id: string,
): Promise<PairingCode | null> {
  const code = await store.query
    .updateTable("pairingCodes")
    .set({ state: "cancelled" })
    .where("tenant", "=", scoped(tenant))
    .where("id", "=", id)
    .where("state", "=", "unused")
    .where("expiresAt", ">", store.now())
    .returning(PUBLIC_COLUMNS)
    .executeTakeFirst();
  return code ?? null;
}

/** On whose behalf a device is enrolled, and what it begins with. */
export interface Grant {
  readonly tenant: TenantId;
  readonly ownerId: string;
  readonly tags: readonly string[];
}

/**
 * Uses a code up, within the caller's transaction. Of any number of transactions one gets the grant; the others wait
 * for its end and get null, or, where it was rolled back, try in turn. A code that is found to have run out is marked,
 * so that a clock that is set back does not revive it.
 */
export async function claimPairingCode(
  queries: Queries,
  digest: string,
  claim: { readonly now: number; readonly deviceId: string },
): Promise<Grant | null> {
  const { now, deviceId } = claim;
  const code = await queries
    .selectFrom("pairingCodes")
    .innerJoin("users", "users.id", "pairingCodes.creatorId")
    .innerJoin("tenants", "tenants.id", "pairingCodes.tenant")
    .selectAll("pairingCodes")
    .select(["users.disabledAt as userDisabledAt", "tenants.disabledAt as tenantDisabledAt"])
    .where("digest", "=", digest)
    .where("state", "=", "unused")
    .whereRef("users.tenant", "=", "pairingCodes.tenant")
    .executeTakeFirst();
  if (code === undefined || !digestsEqual(code.digest, digest)) return null;
  if (code.userDisabledAt !== null || code.tenantDisabledAt !== null) return null;
  const isOver = code.expiresAt <= now;
  const claimed = await queries
    .updateTable("pairingCodes")
    .set(isOver ? { state: "expired" } : { state: "used", usedAt: now, deviceId })
    .where("id", "=", code.id)
    .where("state", "=", "unused")
    .returning("id")
    .executeTakeFirst();
  if (isOver || claimed === undefined) return null;
  return { tenant: code.tenant, ownerId: code.creatorId, tags: [] };
}
