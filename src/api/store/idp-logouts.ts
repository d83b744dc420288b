import {
  ENDED_COLUMNS,
  type EndedSession,
  idpSessionLock,
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
 * (`iss`, `sid`) end, and a sign-in of it that is on its way finds a tombstone. With a `sub` alone the sessions of
 * (`iss`, `sub`) that were created before the token was issued end.
 */
export function endLoginSessionsByProvider(
  store: Store,
  token: LogoutToken,
): Promise<{ replayed: boolean; ended: readonly EndedSession[] }> {
  return store.transaction(async (queries) => {
    const { iss, sub, sid, jti, rememberUntil } = token;
    if (sid !== null) await store.lock(queries, idpSessionLock(iss, sid));
    const first = await queries
      .insertInto("logoutTokens")
      .values({ iss, jti, expiresAt: rememberUntil })
      .onConflict((conflict) => conflict.columns(["iss", "jti"]).doNothing())
      .returning("jti")
      .executeTakeFirst();
    if (first === undefined) return { replayed: true, ended: [] };
    if (sid !== null) {
      const ended = await endBySid(queries, iss, sid, store.now() + TOMBSTONE_MS);
      return { replayed: false, ended };
    }
    if (sub === null) return { replayed: false, ended: [] };
    const ended = await queries
      .deleteFrom("loginSessions")
      .where("iss", "=", iss)
      .where("sub", "=", sub)
      .where("createdAt", "<", token.iat)
      .returning(ENDED_COLUMNS)
      .execute();
    return { replayed: false, ended };
  });
}

async function endBySid(
  queries: Queries,
  iss: string,
  sid: string,
  tombstoneUntil: number,
): Promise<EndedSession[]> {
  await queries
    .insertInto("logoutTombstones")
    .values({ iss, sid, expiresAt: tombstoneUntil })
    .onConflict((conflict) =>
      conflict.columns(["iss", "sid"]).doUpdateSet({ expiresAt: tombstoneUntil }),
    )
    .execute();
  return queries
    .deleteFrom("loginSessions")
    .where("iss", "=", iss)
    .where("idpSid", "=", sid)
    .returning(ENDED_COLUMNS)
    .execute();
}
