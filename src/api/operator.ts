import { SCOPES } from "./scopes.ts";
import {
  type ApiKey,
  appendAuditEvent,
  type Disabled,
  disableMachineClient,
  disableTenant,
  disableUser,
  enableTenant,
  enableUser,
  findKeyTenant,
  findUserBySubject,
  findUserOfAny,
  hasTenant,
  listMachineClients,
  listTenants,
  listUsers,
  listUsersOfAll,
  type MachineClient,
  openDatabase,
  type Role,
  registerMachineClient,
  revokeApiKey,
  type Store,
  setUserRole,
  type TenantId,
  type TenantOverview,
  tenantId,
  type User,
} from "./store/index.ts";

/** How an operator names a user: by our id, or by issuer and subject. */
export type UserName = { readonly id: string } | { readonly iss: string; readonly sub: string };

/** What a change of a user came to. */
export interface Change {
  readonly user: User;
  /** References of keys and device tokens that a relay must forget. */
  readonly refs: readonly string[];
  readonly endedSessions: number;
}

const PAGE = 1_000;
/** Who is named in the audit log. */
const ACTOR = "operator";

/** What the operator of a server does on the database itself, past its routes: the first steps, and emergencies. */
export class Operator {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Opens the database, which brings its tables to this version's form.
   *
   * @param setting how messages name where the URL is from
   * @throws ConfigError as the store's does
   */
  static async open(url: string, setting: string): Promise<Operator> {
    return new Operator(await openDatabase(url, { setting, connectionsMax: 2 }));
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  /** All users, or one tenant's, in the order of their ids. */
  async users(tenant: string | null): Promise<User[]> {
    return all((page) =>
      tenant === null
        ? listUsersOfAll(this.#store, page)
        : listUsers(this.#store, tenantId(tenant), page),
    );
  }

  async user(name: UserName): Promise<User | null> {
    return "id" in name
      ? findUserOfAny(this.#store, name.id)
      : findUserBySubject(this.#store, name.iss, name.sub);
  }

  /** Null where there is no such user. What their keys may do follows at once. */
  async setRole(name: UserName, role: Role): Promise<Change | null> {
    const user = await this.user(name);
    if (user === null) return null;
    const changed = await setUserRole(this.#store, user.tenant, user.id, role);
    if (changed === null) return null;
    await this.#note("user_role_changed", user.tenant, user.id, { from: user.role, to: role });
    return { user: changed, refs: [], endedSessions: 0 };
  }

  /** Ends what a user has, and lets nobody in as that user. Null where there is none. */
  async disableUser(name: UserName): Promise<Change | null> {
    const user = await this.user(name);
    if (user === null) return null;
    const disabled = await disableUser(this.#store, user.tenant, user.id);
    if (disabled === null) return null;
    await this.#note("user_disabled", user.tenant, user.id, countsOf(disabled));
    const now = (await this.user({ id: user.id })) ?? user;
    return { user: now, ...endedBy(disabled) };
  }

  async enableUser(name: UserName): Promise<Change | null> {
    const user = await this.user(name);
    if (user === null || !(await enableUser(this.#store, user.tenant, user.id))) return null;
    await this.#note("user_enabled", user.tenant, user.id, {});
    const now = (await this.user({ id: user.id })) ?? user;
    return { user: now, refs: [], endedSessions: 0 };
  }

  /** All tenants in the order of their ids. */
  async tenants(): Promise<TenantOverview[]> {
    return all((page) => listTenants(this.#store, page));
  }

  /**
   * Ends what all users of a tenant have, and lets nobody in.
   *
   * @param create also where nobody of that tenant has signed in yet
   * @returns null where there is no such tenant
   */
  async disableTenant(id: string, create: boolean): Promise<Omit<Change, "user"> | null> {
    const tenant = tenantId(id);
    if (!create && !(await hasTenant(this.#store, tenant))) return null;
    const disabled = await disableTenant(this.#store, tenant);
    await this.#note("tenant_disabled", tenant, null, countsOf(disabled));
    return endedBy(disabled);
  }

  /** False where there is no such tenant. */
  async enableTenant(id: string): Promise<boolean> {
    const tenant = tenantId(id);
    if (!(await enableTenant(this.#store, tenant))) return false;
    await this.#note("tenant_enabled", tenant, null, {});
    return true;
  }

  /** The machine clients of one tenant, or of all. */
  async machineClients(tenant: string | null): Promise<MachineClient[]> {
    const ids = tenant === null ? (await this.tenants()).map(({ id }) => id) : [tenantId(tenant)];
    const found: MachineClient[] = [];
    for (const id of ids) found.push(...(await listMachineClients(this.#store, id)));
    return found;
  }

  /**
   * Registers a program that may call with access tokens of an issuer, or changes name and scopes of one.
   *
   * @returns null where another tenant has registered it
   */
  async addMachineClient(
    tenant: string,
    client: Pick<MachineClient, "iss" | "clientId" | "name"> & {
      readonly scopes: readonly string[];
    },
  ): Promise<MachineClient | null> {
    const id = tenantId(tenant);
    const added = await registerMachineClient(this.#store, id, client);
    if (added === null) return null;
    const detail = { iss: client.iss, scopes: client.scopes.join(" ") };
    await this.#note("machine_client_registered", id, client.clientId, detail);
    return added;
  }

  /** Null where the tenant has no such client that is enabled. */
  async disableMachineClient(
    tenant: string,
    iss: string,
    clientId: string,
  ): Promise<MachineClient | null> {
    const id = tenantId(tenant);
    const client = await disableMachineClient(this.#store, id, iss, clientId);
    if (client !== null) await this.#note("machine_client_disabled", id, clientId, { iss });
    return client;
  }

  /** Revokes a key of whatever tenant. Null where there is no such key that is not revoked. */
  async revokeKey(ref: string): Promise<ApiKey | null> {
    const tenant = await findKeyTenant(this.#store, ref);
    const key = tenant === null ? null : await revokeApiKey(this.#store, tenant, ref);
    if (tenant === null || key === null) return null;
    await this.#note("key_revoked", tenant, ref, {});
    return key;
  }

  #note(
    event: string,
    tenant: TenantId,
    objectId: string | null,
    detail: Readonly<Record<string, string | number>>,
  ): Promise<void> {
    return appendAuditEvent(this.#store, tenant, { event, actor: ACTOR, objectId, detail });
  }
}

/** The names of the list that are no scopes. */
export function unknownScopes(names: readonly string[]): string[] {
  return names.filter((name) => !Object.hasOwn(SCOPES, name));
}

function endedBy({ tokenRefs, keyRefs, endedSessions }: Disabled) {
  return { refs: [...tokenRefs, ...keyRefs], endedSessions: endedSessions.length };
}

function countsOf({ tokenRefs, keyRefs, endedSessions }: Disabled) {
  return { tokens: tokenRefs.length, keys: keyRefs.length, sessions: endedSessions.length };
}

/** Every page of a listing whose items have ids in order. */
async function all<T extends { readonly id: string }>(
  list: (page: { readonly limit: number; readonly after?: string }) => Promise<T[]>,
): Promise<T[]> {
  const items: T[] = [];
  for (;;) {
    const after = items.at(-1)?.id;
    const page = await list({ limit: PAGE, ...(after === undefined ? {} : { after }) });
    items.push(...page);
    if (page.length < PAGE) return items;
  }
}
