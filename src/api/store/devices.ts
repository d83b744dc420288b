import { type Selectable, sql } from "kysely";
import { mintDeviceId } from "../../core/token.ts";
import { insertAuditEvent } from "./audit-events.ts";
import { type DevicesTable, readList, writeList } from "./schema.ts";
import type { Queries, Store } from "./store.ts";
import { scoped, type TenantId } from "./tenant.ts";

/** A device. Only its tenant and owner are facts; model and serial are what it says of itself. */
export interface Device extends Omit<Selectable<DevicesTable>, "tags"> {
  readonly tags: readonly string[];
}

/** What a new device is made of. */
export interface NewDevice {
  readonly name: string;
  readonly tags: readonly string[];
  readonly model: string | null;
  readonly serial: string | null;
}

/** A paired device must connect within this time, or it is removed. */
export const ACTIVATION_MS = 10 * 60_000;

/** Makes a device for a user. It is pending until it connects, and may take its time. */
export async function createDevice(
  store: Store,
  tenant: TenantId,
  ownerId: string,
  device: NewDevice,
): Promise<Device> {
  return insertDevice(store.query, tenant, ownerId, device, {
    id: mintDeviceId(),
    now: store.now(),
    activateBy: null,
  });
}

/** Inserts a pending device. */
export async function insertDevice(
  queries: Queries,
  tenant: TenantId,
  ownerId: string,
  device: NewDevice,
  made: {
    readonly id: string;
    readonly now: number;
    readonly activateBy: number | null;
    readonly awaitsApproval?: boolean;
  },
): Promise<Device> {
  const row = await queries
    .insertInto("devices")
    .values({
      id: made.id,
      tenant: scoped(tenant),
      ownerId,
      name: device.name,
      tags: writeList(device.tags),
      model: device.model,
      serial: device.serial,
      agentVersion: null,
      state: "pending",
      awaitsApproval: made.awaitsApproval === true ? 1 : 0,
      createdAt: made.now,
      activateBy: made.activateBy,
      firstConnectedAt: null,
      lastSeenAt: null,
      lastRemoteAddr: null,
      lastCloseReason: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return deviceOf(row);
}

/** The device of a row. */
function deviceOf(row: Selectable<DevicesTable>): Device {
  return { ...row, tags: readList(row.tags) };
}

/**
 * Lets callers reach a device that waits for that; one that does not stays as it is. Whoever remembers whose the device is
 * must be told.
 *
 * @returns null where the tenant has no such device
 */
export async function approveDevice(
  store: Store,
  tenant: TenantId,
  id: string,
): Promise<Device | null> {
  const row = await store.query
    .updateTable("devices")
    .set({ awaitsApproval: 0 })
    .where("tenant", "=", scoped(tenant))
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirst();
  return row === undefined ? null : deviceOf(row);
}

/** The device of that id in the tenant. */
export async function getDevice(
  store: Store,
  tenant: TenantId,
  id: string,
): Promise<Device | null> {
  const row = await store.query
    .selectFrom("devices")
    .selectAll()
    .where("tenant", "=", scoped(tenant))
    .where("id", "=", id)
    .executeTakeFirst();
  return row === undefined ? null : deviceOf(row);
}

/** Which devices {@link listDevices} lists. */
export interface DeviceFilter {
  readonly limit: number;
  /** The id of the last device of the page before. */
  readonly after?: string;
  readonly ownerId?: string;
  /** A tag that the device must have. */
  readonly tag?: string;
  readonly state?: Device["state"];
  /** A part of the name; the case of ASCII letters does not count. */
  readonly name?: string;
  /** Only devices of these ids. */
  readonly ids?: readonly string[];
}

/** The tenant's devices in the order of their ids. */
export async function listDevices(
  store: Store,
  tenant: TenantId,
  { limit, after = "", ownerId, tag, state, name, ids }: DeviceFilter,
): Promise<Device[]> {
  if (ids?.length === 0) return [];
  let query = store.query
    .selectFrom("devices")
    .selectAll()
    .where("tenant", "=", scoped(tenant))
    .where("id", ">", after)
    .orderBy("id")
    .limit(limit);
  if (ownerId !== undefined) query = query.where("ownerId", "=", ownerId);
  if (state !== undefined) query = query.where("state", "=", state);
  if (ids !== undefined) query = query.where("id", "in", ids);
  if (name !== undefined) {
    // Both databases lower ASCII letters and no others: the column has collation "C" in PostgreSQL.
    const part = name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
    query = query.where(
      store.kind === "sqlite"
        ? sql<boolean>`instr(lower(name), ${part}) > 0`
        : sql<boolean>`strpos(lower(name), ${part}) > 0`,
    );
  }
  if (tag !== undefined) {
    // Within a JSON string a quotation mark follows a backslash, so a comma and one begin an element.
    const elements = sql<string>`',' || substr(tags, 2)`;
    const element = `,${JSON.stringify(tag)}`;
    query = query.where(
      store.kind === "sqlite"
        ? sql<boolean>`instr(${elements}, ${element}) > 0`
        : sql<boolean>`strpos(${elements}, ${element}) > 0`,
    );
  }
  return (await query.execute()).map(deviceOf);
}

/** Changes name or tags. Null where the tenant has no such device. */
export async function changeDevice(
  store: Store,
  tenant: TenantId,
  id: string,
  change: { readonly name?: string; readonly tags?: readonly string[] },
): Promise<Device | null> {
  const { name, tags } = change;
  if (name === undefined && tags === undefined) return getDevice(store, tenant, id);
  const row = await store.query
    .updateTable("devices")
    .set({
      ...(name === undefined ? {} : { name }),
      ...(tags === undefined ? {} : { tags: writeList(tags) }),
    })
    .where("tenant", "=", scoped(tenant))
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirst();
  return row === undefined ? null : deviceOf(row);
}

/** A device that is no more. The tunnels of these tokens must be closed. */
export interface RemovedDevice {
  readonly id: string;
  readonly tenant: TenantId;
  readonly name: string;
  readonly tokenRefs: readonly string[];
}

/** Deletes a device with its tokens. Null where the tenant has no such device. */
export async function deleteDevice(
  store: Store,
  tenant: TenantId,
  id: string,
): Promise<RemovedDevice | null> {
  const deleted = await store.transaction(async (queries) => {
    // A rotation that is on its way is either over by now, and its token ends here, or finds no device.
    await store.lock(queries, tokensLock(id));
    const tokens = await queries
      .selectFrom("deviceTokens")
      .select("ref")
      .where("tenant", "=", scoped(tenant))
      .where("deviceId", "=", id)
      .where("endedAt", "is", null)
      .execute();
    const removed = await queries
      .deleteFrom("devices")
      .where("tenant", "=", scoped(tenant))
      .where("id", "=", id)
      .returning(["id", "tenant", "name"])
      .executeTakeFirst();
    if (removed === undefined) return null;
    return { ...removed, tokenRefs: tokens.map(({ ref }) => ref) };
  });
  if (deleted !== null) store.noteDevicesRemoved();
  return deleted;
}

/** The lock of what is done to the tokens of a device. */
export function tokensLock(deviceId: string): string {
  return `tokens:${deviceId}`;
}

/**
 * Removes the paired devices that have not connected in time, with their tokens, and notes that in the audit log.
 *
 * @param graceMs how long after their time; their tokens are good no longer meanwhile
 */
export async function removeUnconnectedDevices(
  store: Store,
  graceMs = 0,
): Promise<RemovedDevice[]> {
  const late = await store.transaction(async (queries) => {
    const now = store.now();
    const before = now - graceMs;
    const due = await queries
      .selectFrom("devices")
      .innerJoin("deviceTokens", "deviceTokens.deviceId", "devices.id")
      .select(["devices.id", "deviceTokens.ref"])
      .where("devices.state", "=", "pending")
      .where("activateBy", "<=", before)
      .execute();
    const removed = await queries
      .deleteFrom("devices")
      .where("state", "=", "pending")
      .where("activateBy", "<=", before)
      .returning(["id", "tenant", "name"])
      .execute();
    for (const { id, tenant } of removed) {
      await insertAuditEvent(queries, tenant, now, {
        event: "pairing_failed",
        objectId: id,
        detail: { reason: "not_connected" },
      });
    }
    return removed.map((device) => ({
      ...device,
      tokenRefs: due.filter(({ id }) => id === device.id).map(({ ref }) => ref),
    }));
  });
  if (late.length > 0) store.noteDevicesRemoved();
  return late;
}

/** Those of some ids that are devices of the tenant. */
export async function findDeviceIds(
  store: Store,
  tenant: TenantId,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const rows = await store.query
    .selectFrom("devices")
    .select("id")
    .where("tenant", "=", scoped(tenant))
    .where("id", "in", ids)
    .execute();
  return new Set(rows.map(({ id }) => id));
}
