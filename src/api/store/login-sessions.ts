import type { Selectable, Transaction } from "kysely";
import { browserLock, endTakenSignIn, noteReplaced } from "./pending-sign-ins.ts";
import { type LoginSessionsTable, type Role, readList, type Schema, writeList } from "./schema.ts";
import { mintObjectId, type Queries, type Store } from "./store.ts";
import { scoped, type TenantId } from "./tenant.ts";

/** A browser that is signed in. `key` is SHA-256 of the id in its cookie, `publicId` what listings show. */
export interface LoginSession extends Omit<Selectable<LoginSessionsTable>, "amr"> {
  readonly amr: readonly string[];
}

/** A session as {@link findLoginSession} finds it, with the role that its user has now. */
export interface CurrentLoginSession extends LoginSession {
  readonly role: Role;
}

/** What a sign-in brings. */
export interface NewLoginSession {
  readonly key: string;
  readonly userId: string;
  readonly iss: string;
  readonly sub: string;
  readonly idpSid: string | null;
  /** `iat` of its ID token. */
  readonly issuedAt: number;
  /** From the beginning on; other events of the session do not move it. */
  readonly absoluteExpiresAt: number;
  readonly authTime: number;
  readonly acr: string | null;
  readonly amr: readonly string[];
  readonly userAgent: string | null;
  readonly ip: string | null;
  /** The provider's tokens, encrypted by the caller with the session's key as additional data. */
  readonly sealedTokens: string | null;
}

/** A session that is no more: its sockets must be closed, its tokens given back. */
export type EndedSession = Pick<
  LoginSession,
  "key" | "publicId" | "tenant" | "userId" | "sealedTokens"
>;

export const ENDED_COLUMNS = ["key", "publicId", "tenant", "userId", "sealedTokens"] as const;

export const SESSIONS_PER_USER_MAX = 10;

/** A session's last use is written at most once in this time, so it may end by idleness as much earlier. */
export const LAST_SEEN_WRITE_MS = 60_000;

/** How long a provider's logout keeps a sign-in that it covers from completing. */
export const TOMBSTONE_MS = 10 * 60_000;

/** What a provider's notice of logout is compared with. Null where nothing is known. */
export interface ProviderSession {
  readonly iss: string;
  readonly sub: string | null;
  readonly idpSid: string | null;
}

/**
 * Keeps a provider's sign-in and its logout apart until the transaction ends: both lock what they name, the session
 * before the subject.
 */
export async function lockProviderSession(
  store: Store,
  queries: Transaction<Schema>,
  { iss, sub, idpSid }: ProviderSession,
): Promise<void> {
  if (idpSid !== null) await store.lock(queries, `idp:${JSON.stringify([iss, "sid", idpSid])}`);
  if (sub !== null) await store.lock(queries, `idp:${JSON.stringify([iss, "sub", sub])}`);
}

/** The lock of what adds to a user's sessions. */
export function userSessionsLock(userId: string): string {
  return `sessions:${userId}`;
}

/**
 * Signs a browser in. In one step: the session of the old cookie ends, all pending sign-ins of that browser are
 * dropped, and where the user has as many sessions as are allowed the oldest end.
 *
 * @param options.replacesKey the key of the cookie that the browser had
 * @param options.takenState digest of the state that was taken for this; left out where there was none
 * @returns null where the provider has ended its session already, or the user may not sign in; `overtaken` where the
 *   browser was signed out, or signed in by another callback, since the state was taken. Nothing ends then
 */
export function startLoginSession(
  store: Store,
  tenant: TenantId,
  entry: NewLoginSession,
  options: {
    readonly replacesKey: string | null;
    readonly perUserMax?: number;
    readonly takenState?: string;
  },
): Promise<{ session: LoginSession; ended: readonly EndedSession[] } | "overtaken" | null> {
  const { replacesKey, takenState } = options;
  return store.transaction(async (queries) => {
    await lockProviderSession(store, queries, entry);
    await store.lock(queries, userSessionsLock(entry.userId));
    if (replacesKey !== null) await store.lock(queries, browserLock(replacesKey));
    const now = store.now();
    if (await isCovered(queries, entry, now)) return null;
    if (!(await maySignIn(queries, tenant, entry.userId))) return null;
    if (replacesKey !== null && takenState !== undefined) {
      if (!(await endTakenSignIn(queries, replacesKey, takenState))) return "overtaken";
    }
    const ended = await dropBrowser(queries, replacesKey);
    if (replacesKey !== null) await noteReplaced(queries, replacesKey, now);
    const perUserMax = options.perUserMax ?? SESSIONS_PER_USER_MAX;
    ended.push(...(await endOldest(queries, tenant, entry.userId, perUserMax - 1)));
    const session = await queries
      .insertInto("loginSessions")
      .values({
        ...entry,
        amr: writeList(entry.amr),
        publicId: mintObjectId(),
        tenant: scoped(tenant),
        createdAt: now,
        lastSeenAt: now,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    return { session: { ...session, amr: readList(session.amr) }, ended };
  });
}

/** Deletes what is stored under a browser's cookie. */
async function dropBrowser(queries: Queries, key: string | null): Promise<EndedSession[]> {
  if (key === null) return [];
  await queries.deleteFrom("pendingSignIns").where("browserKey", "=", key).execute();
  return queries
    .deleteFrom("loginSessions")
    .where("key", "=", key)
    .returning(ENDED_COLUMNS)
    .execute();
}

/**
 * Whether the provider has sent a notice that covers a sign-in: one of its session, or one of its subject that is not
 * older than its ID token. {@link startLoginSession} asks by itself.
 */
export function isSignInEnded(
  store: Store,
  signIn: Pick<NewLoginSession, "iss" | "sub" | "idpSid" | "issuedAt">,
): Promise<boolean> {
  return isCovered(store.query, signIn, store.now());
}

async function isCovered(
  queries: Queries,
  { iss, sub, idpSid, issuedAt }: Pick<NewLoginSession, "iss" | "sub" | "idpSid" | "issuedAt">,
  now: number,
): Promise<boolean> {
  const notice = await queries
    .selectFrom("logoutNotices")
    .select("iss")
    .where("iss", "=", iss)
    .where("expiresAt", ">", now)
    .where(({ eb, or, and }) =>
      or([
        and([eb("sid", "=", idpSid ?? ""), eb("sid", "!=", ""), eb("sub", "in", ["", sub])]),
        and([eb("sid", "=", ""), eb("sub", "=", sub), eb("issuedAt", ">=", issuedAt)]),
      ]),
    )
    .executeTakeFirst();
  return notice !== undefined;
}

async function maySignIn(queries: Queries, tenant: TenantId, userId: string): Promise<boolean> {
  const user = await queries
    .selectFrom("users")
    .innerJoin("tenants", "tenants.id", "users.tenant")
    .select("users.id")
    .where("users.id", "=", userId)
    .where("users.tenant", "=", scoped(tenant))
    .where("users.disabledAt", "is", null)
    .where("tenants.disabledAt", "is", null)
    .executeTakeFirst();
  return user !== undefined;
}

async function endOldest(
  queries: Transaction<Schema>,
  tenant: TenantId,
  userId: string,
  keep: number,
): Promise<EndedSession[]> {
  const all = await queries
    .selectFrom("loginSessions")
    .select("key")
    .where("tenant", "=", scoped(tenant))
    .where("userId", "=", userId)
    .orderBy("createdAt", "desc")
    .execute();
  const surplus = all.slice(keep).map(({ key }) => key);
  if (surplus.length === 0) return [];
  return queries
    .deleteFrom("loginSessions")
    .where("key", "in", surplus)
    .returning(ENDED_COLUMNS)
    .execute();
}

/**
 * Finds the session of a cookie, if neither its idle nor its absolute limit is reached and its user may sign in.
 *
 * @param options.slide whether this is activity: it moves the idle limit
 */
export async function findLoginSession(
  store: Store,
  key: string,
  options: { readonly idleMs: number; readonly slide: boolean },
): Promise<CurrentLoginSession | null> {
  const now = store.now();
  const session = await store.query
    .selectFrom("loginSessions")
    .innerJoin("users", "users.id", "loginSessions.userId")
    .innerJoin("tenants", "tenants.id", "loginSessions.tenant")
    .selectAll("loginSessions")
    .select("users.role")
    .where("key", "=", key)
    .where("absoluteExpiresAt", ">", now)
    .where("lastSeenAt", ">", now - options.idleMs)
    .where("users.disabledAt", "is", null)
    .where("tenants.disabledAt", "is", null)
    .whereRef("users.tenant", "=", "loginSessions.tenant")
    .executeTakeFirst();
  if (session === undefined) return null;
  if (!options.slide) return { ...session, amr: readList(session.amr) };
  // Between two writes the limit stays where the last one put it.
  const isDue = session.lastSeenAt <= now - LAST_SEEN_WRITE_MS;
  if (isDue) {
    await store.query
      .updateTable("loginSessions")
      .set({ lastSeenAt: now })
      .where("key", "=", key)
      .where("lastSeenAt", "<", now)
      .execute();
  }
  const lastSeenAt = isDue ? now : session.lastSeenAt;
  return { ...session, lastSeenAt, amr: readList(session.amr) };
}

/** The live sessions of a user, the newest first. */
export async function listLoginSessions(
  store: Store,
  tenant: TenantId,
  userId: string,
  options: { readonly idleMs: number },
): Promise<LoginSession[]> {
  const now = store.now();
  const sessions = await store.query
    .selectFrom("loginSessions")
    .selectAll()
    .where("tenant", "=", scoped(tenant))
    .where("userId", "=", userId)
    .where("absoluteExpiresAt", ">", now)
    .where("lastSeenAt", ">", now - options.idleMs)
    .orderBy("createdAt", "desc")
    .orderBy("publicId")
    .execute();
  return sessions.map((session) => ({ ...session, amr: readList(session.amr) }));
}

/** How many sessions of all tenants are live. */
export async function countLoginSessions(
  store: Store,
  options: { readonly idleMs: number },
): Promise<number> {
  const now = store.now();
  const { count } = await store.query
    .selectFrom("loginSessions")
    .select(({ fn }) => fn.countAll<number>().as("count"))
    .where("absoluteExpiresAt", ">", now)
    .where("lastSeenAt", ">", now - options.idleMs)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** Signs a browser out, its pending sign-ins included, also those that are in their last step. */
export function endLoginSessionByKey(store: Store, key: string): Promise<EndedSession | null> {
  return store.transaction(async (queries) => {
    await store.lock(queries, browserLock(key));
    return (await dropBrowser(queries, key))[0] ?? null;
  });
}

/** Ends one session of a user, by its public id. Null where this user has no such session. */
export async function endLoginSession(
  store: Store,
  tenant: TenantId,
  userId: string,
  publicId: string,
): Promise<EndedSession | null> {
  const ended = await store.query
    .deleteFrom("loginSessions")
    .where("tenant", "=", scoped(tenant))
    .where("userId", "=", userId)
    .where("publicId", "=", publicId)
    .returning(ENDED_COLUMNS)
    .executeTakeFirst();
  return ended ?? null;
}

/** Ends all sessions of a user, but the one whose key is given. */
export function endLoginSessionsOfUser(
  store: Store,
  tenant: TenantId,
  userId: string,
  exceptKey: string | null,
): Promise<EndedSession[]> {
  return store.transaction((queries) =>
    queries
      .deleteFrom("loginSessions")
      .where("tenant", "=", scoped(tenant))
      .where("userId", "=", userId)
      .where("key", "!=", exceptKey ?? "")
      .returning(ENDED_COLUMNS)
      .execute(),
  );
}
