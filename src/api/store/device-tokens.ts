import type { Selectable } from "kysely";
import { assert } from "../../core/assert.ts";
import { digestsEqual, mintDeviceId } from "../../core/token.ts";
import { type Device, insertDevice, type NewDevice, tokensLock } from "./devices.ts";
import { StoreLimitError } from "./errors.ts";
import type { DeviceTokensTable } from "./schema.ts";
import type { Queries, Store } from "./store.ts";
import { scoped, type TenantId } from "./tenant.ts";

/** A device's token as the store has it: without the secret. */
export type DeviceToken = Omit<Selectable<DeviceTokensTable>, "digest">;

/** What is stored of a token that the caller has minted, or what a handshake presents. */
export interface TokenDigest {
  readonly ref: string;
  readonly secretDigest: string;
}

/** Where a tunnel may lead. */
export interface AuthorizedDevice {
  readonly ref: string;
  readonly deviceId: string;
  readonly tenant: TenantId;
  readonly ownerId: string;
  /** The tunnel may come up, and nobody may call the device yet. */
  readonly awaitsApproval: boolean;
  /** When the token stops to be good by itself, or null. */
  readonly expiresAt: number | null;
}

/** How long a rotated token is good while the new one is not used. */
export const ROTATION_GRACE_MS = 24 * 60 * 60_000;

/** Good tokens that a device may have at once. */
export const TOKENS_PER_DEVICE_MAX = 8;

export const AUTHORIZE_MAX = 1_000;

const PUBLIC_COLUMNS = [
  "ref",
  "tenant",
  "deviceId",
  "generation",
  "createdAt",
  "expiresAt",
  "goodUntil",
  "lastUsedAt",
  "endedAt",
] as const;

/**
 * Makes a device for a user together with its first token, in one transaction. It is pending until it connects, and may
 * take its time.
 */
export function createDeviceWithToken(
  store: Store,
  tenant: TenantId,
  ownerId: string,
  device: NewDevice,
  token: TokenDigest,
  options: { readonly expiresAt: number | null },
): Promise<Device> {
  return store.transaction(async (queries) => {
    const now = store.now();
    const id = mintDeviceId();
    const created = await insertDevice(queries, tenant, ownerId, device, {
      id,
      now,
      activateBy: null,
    });
    await insertFirstToken(queries, tenant, id, token, { ...options, now });
    return created;
  });
}

/** Inserts the first token of a device that was made in the same transaction. */
export async function insertFirstToken(
  queries: Queries,
  tenant: TenantId,
  deviceId: string,
  token: TokenDigest,
  times: { readonly now: number; readonly expiresAt: number | null },
): Promise<void> {
  await insertToken(queries, tenant, deviceId, token, { ...times, generation: 1 });
}

/**
 * Adds a token to a device; those that it has stay good until this one is first used, or for 24 hours. So it is a
 * rotation, or the first token of a device. It does not end a tunnel.
 *
 * @param options.by the token that asks for it: where it has ended meanwhile, nothing is added, so that a rotation that
 *   was under way does not outlive a revocation
 * @returns null where the tenant has no such device, or `by` is good no longer
 * @throws StoreLimitError `tokens_per_device`
 */
export function rotateDeviceToken(
  store: Store,
  tenant: TenantId,
  deviceId: string,
  token: TokenDigest,
  options: { readonly expiresAt: number | null; readonly by?: string },
): Promise<DeviceToken | null> {
  const { expiresAt, by } = options;
  return store.transaction(async (queries) => {
    await store.lock(queries, tokensLock(deviceId));
    const now = store.now();
    if (!(await holdDevice(store, queries, tenant, deviceId))) return null;
    const tokens = await queries
      .selectFrom("deviceTokens")
      .select(PUBLIC_COLUMNS)
      .where("deviceId", "=", deviceId)
      .where("endedAt", "is", null)
      .execute();
    const goodOnes = tokens.filter((known) => isGood(known, now));
    if (by !== undefined && !goodOnes.some(({ ref }) => ref === by)) return null;
    if (goodOnes.length >= TOKENS_PER_DEVICE_MAX) {
      throw new StoreLimitError("tokens_per_device");
    }
    await queries
      .updateTable("deviceTokens")
      .set({ goodUntil: now + ROTATION_GRACE_MS })
      .where("deviceId", "=", deviceId)
      .where("goodUntil", "is", null)
      .execute();
    const generation = await nextGeneration(queries, deviceId);
    return insertToken(queries, tenant, deviceId, token, { expiresAt, now, generation });
  });
}

/** Whether the tenant has the device; it is not removed then before the transaction is over. */
async function holdDevice(
  store: Store,
  queries: Queries,
  tenant: TenantId,
  id: string,
): Promise<boolean> {
  const found = await queries
    .selectFrom("devices")
    .select("id")
    .where("tenant", "=", scoped(tenant))
    .where("id", "=", id)
    // SQLite's transactions have the write lock from their beginning.
    .$if(store.kind === "postgres", (query) => query.forKeyShare())
    .executeTakeFirst();
  return found !== undefined;
}

/** One more than the newest token's, ended ones included; a device may have very many of those. */
async function nextGeneration(queries: Queries, deviceId: string): Promise<number> {
  const newest = await queries
    .selectFrom("deviceTokens")
    .select("generation")
    .where("deviceId", "=", deviceId)
    .orderBy("generation", "desc")
    .limit(1)
    .executeTakeFirst();
  return 1 + (newest?.generation ?? 0);
}

async function isOfDevice(queries: Queries, ref: string, deviceId: string): Promise<boolean> {
  const found = await queries
    .selectFrom("deviceTokens")
    .select("ref")
    .where("ref", "=", ref)
    .where("deviceId", "=", deviceId)
    .executeTakeFirst();
  return found !== undefined;
}

async function insertToken(
  queries: Queries,
  tenant: TenantId,
  deviceId: string,
  token: TokenDigest,
  made: { readonly now: number; readonly expiresAt: number | null; readonly generation: number },
): Promise<DeviceToken> {
  return queries
    .insertInto("deviceTokens")
    .values({
      ref: token.ref,
      digest: token.secretDigest,
      tenant: scoped(tenant),
      deviceId,
      generation: made.generation,
      createdAt: made.now,
      expiresAt: made.expiresAt,
      goodUntil: null,
      lastUsedAt: null,
      endedAt: null,
    })
    .returning(PUBLIC_COLUMNS)
    .executeTakeFirstOrThrow();
}

/** The tokens of a device that are good, the newest first. Null where the tenant has no such device. */
export async function listDeviceTokens(
  store: Store,
  tenant: TenantId,
  deviceId: string,
): Promise<DeviceToken[] | null> {
  const device = await store.query
    .selectFrom("devices")
    .select("id")
    .where("tenant", "=", scoped(tenant))
    .where("id", "=", deviceId)
    .executeTakeFirst();
  if (device === undefined) return null;
  const tokens = await store.query
    .selectFrom("deviceTokens")
    .select(PUBLIC_COLUMNS)
    .where("tenant", "=", scoped(tenant))
    .where("deviceId", "=", deviceId)
    .where("endedAt", "is", null)
    .orderBy("generation", "desc")
    .execute();
  return tokens.filter((token) => isGood(token, store.now()));
}

/**
 * Ends tokens of a device at once: the one of that reference, or all. Null where the tenant has no such device or
 * token. The tunnels of the references returned must be closed.
 */
export function revokeDeviceTokens(
  store: Store,
  tenant: TenantId,
  deviceId: string,
  ref?: string,
): Promise<readonly string[] | null> {
  return store.transaction(async (queries) => {
    await store.lock(queries, tokensLock(deviceId));
    if (!(await holdDevice(store, queries, tenant, deviceId))) return null;
    if (ref !== undefined && !(await isOfDevice(queries, ref, deviceId))) return null;
    const ended = await queries
      .updateTable("deviceTokens")
      .set({ endedAt: store.now() })
      .where("deviceId", "=", deviceId)
      .where("endedAt", "is", null)
      .$if(ref !== undefined, (query) => query.where("ref", "=", ref ?? ""))
      .returning("ref")
      .execute();
    return ended.map((token) => token.ref);
  });
}

/** What became of the tokens of a device by {@link replaceDeviceTokens}. */
export interface ReplacedTokens {
  readonly token: DeviceToken;
  /** The tunnels of these must be closed. */
  readonly endedRefs: readonly string[];
}

/** Ends all tokens of a device at once and adds a new one, in one transaction. Null where the tenant has no such device. */
export function replaceDeviceTokens(
  store: Store,
  tenant: TenantId,
  deviceId: string,
  token: TokenDigest,
  options: { readonly expiresAt: number | null },
): Promise<ReplacedTokens | null> {
  return store.transaction(async (queries) => {
    await store.lock(queries, tokensLock(deviceId));
    const now = store.now();
    if (!(await holdDevice(store, queries, tenant, deviceId))) return null;
    const ended = await queries
      .updateTable("deviceTokens")
      .set({ endedAt: now })
      .where("deviceId", "=", deviceId)
      .where("endedAt", "is", null)
      .returning("ref")
      .execute();
    const generation = await nextGeneration(queries, deviceId);
    const added = await insertToken(queries, tenant, deviceId, token, {
      ...options,
      now,
      generation,
    });
    return { token: added, endedRefs: ended.map(({ ref }) => ref) };
  });
}

/**
 * Says for each token presented, in order, which device it opens a tunnel for, or null: unknown, wrong secret, ended,
 * expired, of a device that had its time to connect, or of a disabled user or tenant. Changes nothing.
 *
 * @param presented at most {@link AUTHORIZE_MAX}
 */
export async function authorizeDeviceTokens(
  store: Store,
  presented: readonly TokenDigest[],
): Promise<(AuthorizedDevice | null)[]> {
  assert(presented.length <= AUTHORIZE_MAX, "a batch of tokens is within its limit");
  const known = await findTokens(
    store.query,
    presented.map(({ ref }) => ref),
  );
  const now = store.now();
  return presented.map(({ ref, secretDigest }) => {
    const token = known.get(ref);
    // An unknown reference costs a comparison too.
    const equal = digestsEqual(token?.digest ?? NO_DIGEST, secretDigest);
    if (token === undefined || !equal || !opensTunnel(token, now)) return null;
    const { deviceId, tenant, ownerId } = token;
    const until = Math.min(token.expiresAt ?? Infinity, token.goodUntil ?? Infinity);
    const awaitsApproval = token.awaitsApproval === 1;
    const expiresAt = until === Infinity ? null : until;
    return { ref, deviceId, tenant, ownerId, awaitsApproval, expiresAt };
  });
}

const NO_DIGEST = "0".repeat(64);

export type FoundToken = Awaited<ReturnType<typeof selectTokens>>[number];

/** What is known of tokens, of their devices, owners and tenants, by reference. */
export async function findTokens(
  queries: Queries,
  refs: readonly string[],
): Promise<Map<string, FoundToken>> {
  if (refs.length === 0) return new Map();
  return new Map((await selectTokens(queries, refs)).map((token) => [token.ref, token]));
}

function selectTokens(queries: Queries, refs: readonly string[]) {
  return queries
    .selectFrom("deviceTokens")
    .innerJoin("devices", "devices.id", "deviceTokens.deviceId")
    .innerJoin("users", "users.id", "devices.ownerId")
    .innerJoin("tenants", "tenants.id", "devices.tenant")
    .selectAll("deviceTokens")
    .select(["devices.ownerId", "devices.activateBy", "devices.awaitsApproval"])
    .select(["users.disabledAt as userDisabledAt", "tenants.disabledAt as tenantDisabledAt"])
    .where("deviceTokens.ref", "in", refs)
    .execute();
}

/** Whether a token is good for a tunnel at that time. */
export function opensTunnel(
  token: Pick<
    FoundToken,
    "endedAt" | "expiresAt" | "goodUntil" | "activateBy" | "userDisabledAt" | "tenantDisabledAt"
  >,
  now: number,
): boolean {
  return (
    isGood(token, now) &&
    (token.activateBy === null || token.activateBy > now) &&
    token.userDisabledAt === null &&
    token.tenantDisabledAt === null
  );
}

function isGood(
  { endedAt, expiresAt, goodUntil }: Pick<DeviceToken, "endedAt" | "expiresAt" | "goodUntil">,
  now: number,
): boolean {
  if (endedAt !== null) return false;
  return (expiresAt === null || expiresAt > now) && (goodUntil === null || goodUntil > now);
}
