import {
  ENDED_COLUMNS,
  type EndedSession,
  lockProviderSession,
  TOMBSTONE_MS,
} from "./login-sessions.ts";
import type { Queries, Store } from "./store.ts";

/** A verified back-channel logout token. Times are in milliseconds. */
export interface LogoutToken {
  readonly iss: string;
  readonly sub: string | null;
  readonly sid: string | null;
  readonly jti: string;
  readonly iat: number;
  /** Until when the `jti` is remembered. */
  readonly rememberUntil: number;
}

/**
 * Does what a provider's logout says, once: a token that was seen before has no effect. With a `sid` the sessions of
 * (`iss`, `sid`) end, as far as they are of its `sub`, where it has one. With a `sub` alone the sessions of (`iss`,
 * `sub`) end whose ID token is not newer. A sign-in that is on its way finds the notice.
 */
export function endLoginSessionsByProvider(
  store: Store,
  token: LogoutToken,
): Promise<{ replayed: boolean; ended: readonly EndedSession[] }> {
  return store.transaction(async (queries) => {
    const { iss, sub, sid, jti, rememberUntil } = token;
    await lockProviderSession(store, queries, { iss, sub, idpSid: sid });
    const first = await queries
      .insertInto("logoutTokens")
      .values({ iss, jti, expiresAt: rememberUntil })
      .onConflict((conflict) => conflict.columns(["iss", "jti"]).doNothing())
      .returning("jti")
      .executeTakeFirst();
    if (first === undefined) return { replayed: true, ended: [] };
    if (sid === null && sub === null) return { replayed: false, ended: [] };
    await keepNotice(queries, token, store.now() + TOMBSTONE_MS);
    const ended = await queries
      .deleteFrom("loginSessions")
      .where("iss", "=", iss)
      .$if(sub !== null, (query) => query.where("sub", "=", sub ?? ""))
      .$if(sid !== null, (query) => query.where("idpSid", "=", sid))
      .$if(sid === null, (query) => query.where("issuedAt", "<=", token.iat))
      .returning(ENDED_COLUMNS)
      .execute();
    return { replayed: false, ended };
  });
}

async function keepNotice(
  queries: Queries,
  { iss, sub, sid, iat }: LogoutToken,
  expiresAt: number,
): Promise<void> {
  const key = { iss, sid: sid ?? "", sub: sub ?? "" };
  await queries
    .insertInto("logoutNotices")
    .values({ ...key, issuedAt: iat, expiresAt })
    .onConflict((conflict) =>
      conflict.columns(["iss", "sid", "sub"]).doUpdateSet(({ ref, eb }) => ({
        issuedAt: eb
          .case()
          .when(ref("logoutNotices.issuedAt"), ">", iat)
          .then(ref("logoutNotices.issuedAt"))
          .else(iat)
          .end(),
        expiresAt,
      })),
    )
    .execute();
}

/** How long a sign-out may take to go on at the provider. */
export const LOGOUT_TICKET_MS = 60_000;

/** Keeps what a browser needs to sign out at the provider, encrypted by the caller, for one use within a minute. */
export async function addLogoutTicket(
  store: Store,
  ticket: { readonly digest: string; readonly sealed: string },
): Promise<void> {
  const expiresAt = store.now() + LOGOUT_TICKET_MS;
  await store.query
    .insertInto("logoutTickets")
    .values({ ...ticket, expiresAt })
    .execute();
}

/** Takes a ticket out: of any number of callers one gets what it holds, all others null. */
export async function takeLogoutTicket(store: Store, digest: string): Promise<string | null> {
  const taken = await store.query
    .deleteFrom("logoutTickets")
    .where("digest", "=", digest)
    .returningAll()
    .executeTakeFirst();
  return taken === undefined || taken.expiresAt <= store.now() ? null : taken.sealed;
}
