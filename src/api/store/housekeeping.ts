import { ENDED_COLUMNS, type EndedSession } from "./login-sessions.ts";
import type { Store } from "./store.ts";

/** How long what has ended is still listed. */
export const ENDED_KEPT_MS = 30 * 24 * 60 * 60_000;

/**
 * Removes what has run out, and marks pairing codes that have: to be called once a minute or so. Nothing depends on it
 * but the size of the database; whoever reads checks the times too. Devices that have not connected in time are
 * {@link removeUnconnectedDevices}'s.
 *
 * @param idleMs the idle limit of login sessions
 * @returns the login sessions that had run out
 */
export function removeExpired(
  store: Store,
  options: { readonly idleMs: number },
): Promise<EndedSession[]> {
  return store.transaction(async (queries) => {
    const now = store.now();
    await queries.deleteFrom("pendingSignIns").where("expiresAt", "<=", now).execute();
    await queries.deleteFrom("cliLogins").where("expiresAt", "<=", now).execute();
    await queries.deleteFrom("logoutTokens").where("expiresAt", "<=", now).execute();
    await queries.deleteFrom("logoutNotices").where("expiresAt", "<=", now).execute();
    await queries.deleteFrom("logoutTickets").where("expiresAt", "<=", now).execute();
    const ended = await queries
      .deleteFrom("loginSessions")
      .where(({ eb, or }) =>
        or([eb("absoluteExpiresAt", "<=", now), eb("lastSeenAt", "<=", now - options.idleMs)]),
      )
      .returning(ENDED_COLUMNS)
      .execute();
    await queries
      .updateTable("pairingCodes")
      .set({ state: "expired" })
      .where("state", "=", "unused")
      .where("expiresAt", "<=", now)
      .execute();
    // A code of a month ago is unknown from then on, which is answered as a used one is.
    const before = now - ENDED_KEPT_MS;
    await queries
      .deleteFrom("pairingCodes")
      .where("state", "in", ["used", "cancelled", "expired"])
      .where("expiresAt", "<=", before)
      .execute();
    await queries
      .deleteFrom("deviceTokens")
      .where(({ eb, or }) =>
        or([
          eb("endedAt", "<=", before),
          eb("goodUntil", "<=", before),
          eb("expiresAt", "<=", before),
        ]),
      )
      .execute();
    await queries
      .deleteFrom("apiKeys")
      .where(({ eb, or }) => or([eb("revokedAt", "<=", before), eb("expiresAt", "<=", before)]))
      .execute();
    await queries
      .deleteFrom("enrolmentKeys")
      .where(({ eb, or }) => or([eb("revokedAt", "<=", before), eb("expiresAt", "<=", before)]))
      .execute();
    return ended;
  });
}
