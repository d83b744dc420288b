import type { Selectable } from "kysely";
import { digestsEqual } from "../../core/token.ts";
import { type CliLoginsTable, readList, writeList } from "./schema.ts";
import type { Store } from "./store.ts";
import { scoped, type TenantId } from "./tenant.ts";

/** A sign-in of a command line, as the store has it: without consent and code. */
export interface CliLogin
  extends Omit<Selectable<CliLoginsTable>, "consentDigest" | "codeDigest" | "scopes"> {
  readonly scopes: readonly string[];
}

/** What somebody is asked to consent to. */
export type NewCliLogin = Pick<
  CliLogin,
  "sessionKey" | "redirectUri" | "codeChallenge" | "oauthState" | "name" | "scopes"
> & {
  /** SHA-256 of what the consent page carries. */
  readonly consentDigest: string;
  readonly keyLifetimeMs: number;
};

/** Limits of {@link addCliLogin} and {@link approveCliLogin}. */
export interface CliLoginLimits {
  /** Sign-ins that a user may have at once; one more drops the oldest. */
  readonly perUserMax: number;
  /** How long a person may look at the page. */
  readonly consentTtlMs: number;
  /** How long the code is good. */
  readonly codeTtlMs: number;
}

export const CLI_LOGIN_LIMITS: CliLoginLimits = {
  perUserMax: 8,
  consentTtlMs: 10 * 60_000,
  codeTtlMs: 60_000,
};

/** Adds a sign-in that waits for its user's consent, bound to the login session that was shown the page. */
export function addCliLogin(
  store: Store,
  tenant: TenantId,
  userId: string,
  login: NewCliLogin,
  limits: CliLoginLimits = CLI_LOGIN_LIMITS,
): Promise<void> {
  return store.transaction(async (queries) => {
    await store.lock(queries, `cli-logins:${userId}`);
    const now = store.now();
    await queries.deleteFrom("cliLogins").where("expiresAt", "<=", now).execute();
    const held = await queries
      .selectFrom("cliLogins")
      .select("consentDigest")
      .where("tenant", "=", scoped(tenant))
      .where("userId", "=", userId)
      .orderBy("createdAt", "desc")
      .orderBy("consentDigest")
      .execute();
    const dropped = held.slice(limits.perUserMax - 1).map(({ consentDigest }) => consentDigest);
    if (dropped.length > 0) {
      await queries.deleteFrom("cliLogins").where("consentDigest", "in", dropped).execute();
    }
    await queries
      .insertInto("cliLogins")
      .values({
        ...login,
        scopes: writeList(login.scopes),
        codeDigest: null,
        tenant: scoped(tenant),
        userId,
        createdAt: now,
        expiresAt: now + limits.consentTtlMs,
      })
      .execute();
  });
}

/** Takes the digests out. */
function loginOf(row: Selectable<CliLoginsTable>): CliLogin {
  const { consentDigest: _consent, codeDigest: _code, ...rest } = row;
  return { ...rest, scopes: readList(row.scopes) };
}

/** The consent that a person answers: to what, and in which session. */
export interface ConsentAnswer {
  readonly consentDigest: string;
  readonly sessionKey: string;
}

/**
 * Turns a consent into a code, once. Null where there is no such consent of that user and session, it was answered
 * before, or it has run out.
 */
export async function approveCliLogin(
  store: Store,
  tenant: TenantId,
  userId: string,
  answer: ConsentAnswer & { readonly codeDigest: string },
  limits: CliLoginLimits = CLI_LOGIN_LIMITS,
): Promise<CliLogin | null> {
  const now = store.now();
  const row = await store.query
    .updateTable("cliLogins")
    .set({ codeDigest: answer.codeDigest, expiresAt: now + limits.codeTtlMs })
    .where("tenant", "=", scoped(tenant))
    .where("userId", "=", userId)
    .where("consentDigest", "=", answer.consentDigest)
    .where("sessionKey", "=", answer.sessionKey)
    .where("codeDigest", "is", null)
    .where("expiresAt", ">", now)
    .returningAll()
    .executeTakeFirst();
  return row === undefined ? null : loginOf(row);
}

/** Removes a sign-in that its user declines. Null as for {@link approveCliLogin}. */
export async function declineCliLogin(
  store: Store,
  tenant: TenantId,
  userId: string,
  answer: ConsentAnswer,
): Promise<CliLogin | null> {
  const row = await store.query
    .deleteFrom("cliLogins")
    .where("tenant", "=", scoped(tenant))
    .where("userId", "=", userId)
    .where("consentDigest", "=", answer.consentDigest)
    .where("sessionKey", "=", answer.sessionKey)
    .where("codeDigest", "is", null)
    .returningAll()
    .executeTakeFirst();
  return row === undefined || row.expiresAt <= store.now() ? null : loginOf(row);
}

/**
 * Uses a code up: of any number of callers one gets the sign-in, all others null. Null, without a word why, also where
 * it has run out, or its user or tenant is disabled or no longer what they were.
 */
export function takeCliLogin(store: Store, codeDigest: string): Promise<CliLogin | null> {
  return store.transaction(async (queries) => {
    const row = await queries
      .deleteFrom("cliLogins")
      .where("codeDigest", "=", codeDigest)
      .returningAll()
      .executeTakeFirst();
    if (row === undefined || row.expiresAt <= store.now()) return null;
    if (row.codeDigest === null || !digestsEqual(row.codeDigest, codeDigest)) return null;
    const owner = await queries
      .selectFrom("users")
      .innerJoin("tenants", "tenants.id", "users.tenant")
      .select("users.id")
      .where("users.id", "=", row.userId)
      .where("users.tenant", "=", row.tenant)
      .where("users.disabledAt", "is", null)
      .where("tenants.disabledAt", "is", null)
      .executeTakeFirst();
    return owner === undefined ? null : loginOf(row);
  });
}
