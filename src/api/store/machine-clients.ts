import type { Selectable } from "kysely";
import { type MachineClientsTable, readList, writeList } from "./schema.ts";
import type { Store } from "./store.ts";
import { scoped, type TenantId } from "./tenant.ts";
import { ensureTenant } from "./users.ts";

/** A program that may call with access tokens of an issuer. Its scopes are the most that a token can give it. */
export interface MachineClient extends Omit<Selectable<MachineClientsTable>, "scopes"> {
  readonly scopes: readonly string[];
}

/**
 * Registers a client, or changes name and scopes of one that the tenant has registered.
 *
 * @returns null where the issuer's client is registered by another tenant
 */
export function registerMachineClient(
  store: Store,
  tenant: TenantId,
  client: Pick<MachineClient, "iss" | "clientId" | "name" | "scopes">,
): Promise<MachineClient | null> {
  return store.transaction(async (queries) => {
    const now = store.now();
    await ensureTenant(queries, tenant, now);
    const { iss, clientId, name } = client;
    const scopes = writeList(client.scopes);
    const row = await queries
      .insertInto("machineClients")
      .values({
        iss,
        clientId,
        tenant: scoped(tenant),
        name,
        scopes,
        createdAt: now,
        disabledAt: null,
      })
      .onConflict((conflict) =>
        conflict
          .columns(["iss", "clientId"])
          .doUpdateSet({ name, scopes, disabledAt: null })
          .where("machineClients.tenant", "=", scoped(tenant)),
      )
      .returningAll()
      .executeTakeFirst();
    return row === undefined ? null : clientOf(row);
  });
}

function clientOf(row: Selectable<MachineClientsTable>): MachineClient {
  return { ...row, scopes: readList(row.scopes) };
}

/** Who the client of a verified access token is, and so its tenant. Null where it is unknown or disabled. */
export async function findMachineClient(
  store: Store,
  iss: string,
  clientId: string,
): Promise<MachineClient | null> {
  const row = await store.query
    .selectFrom("machineClients")
    .innerJoin("tenants", "tenants.id", "machineClients.tenant")
    .selectAll("machineClients")
    .where("iss", "=", iss)
    .where("clientId", "=", clientId)
    .where("machineClients.disabledAt", "is", null)
    .where("tenants.disabledAt", "is", null)
    .executeTakeFirst();
  return row === undefined ? null : clientOf(row);
}

/** The tenant's clients in the order of issuer and id. */
export async function listMachineClients(store: Store, tenant: TenantId): Promise<MachineClient[]> {
  const rows = await store.query
    .selectFrom("machineClients")
    .selectAll()
    .where("tenant", "=", scoped(tenant))
    .orderBy("iss")
    .orderBy("clientId")
    .execute();
  return rows.map(clientOf);
}

/** Disables a client until it is registered again. Null where the tenant has no such client that is enabled. */
export async function disableMachineClient(
  store: Store,
  tenant: TenantId,
  iss: string,
  clientId: string,
): Promise<MachineClient | null> {
  const row = await store.query
    .updateTable("machineClients")
    .set({ disabledAt: store.now() })
    .where("tenant", "=", scoped(tenant))
    .where("iss", "=", iss)
    .where("clientId", "=", clientId)
    .where("disabledAt", "is", null)
    .returningAll()
    .executeTakeFirst();
  return row === undefined ? null : clientOf(row);
}
