import { StoreLimitError } from "./errors.ts";
import type { Store } from "./store.ts";

/** A sign-in that waits for the identity provider to send the browser back. */
export interface PendingSignIn {
  /** SHA-256 of the id in the browser's cookie. */
  readonly browserKey: string;
  /** SHA-256 of `state`. */
  readonly stateDigest: string;
  /** Nonce, verifier and the rest, encrypted by the caller with a key that the database does not know. */
  readonly sealed: string;
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** Limits of {@link addPendingSignIn}. */
export interface PendingLimits {
  /** Sign-ins a browser may have at once; one more drops the oldest. */
  readonly perBrowserMax: number;
  /** Sign-ins of all browsers together. Many at the very same moment may pass it by their number. */
  readonly totalMax: number;
  readonly ttlMs: number;
}

export const PENDING_LIMITS: PendingLimits = {
  perBrowserMax: 8,
  totalMax: 20_000,
  ttlMs: 10 * 60_000,
};

/**
 * Adds a pending sign-in of a browser.
 *
 * @throws StoreLimitError `login_attempts` where all browsers together have as many as are allowed
 */
export function addPendingSignIn(
  store: Store,
  entry: Pick<PendingSignIn, "browserKey" | "stateDigest" | "sealed">,
  limits: PendingLimits = PENDING_LIMITS,
): Promise<void> {
  return store.transaction(async (queries) => {
    await store.lock(queries, `browser:${entry.browserKey}`);
    const now = store.now();
    await queries.deleteFrom("pendingSignIns").where("expiresAt", "<=", now).execute();
    const kept = await queries
      .selectFrom("pendingSignIns")
      .select("stateDigest")
      .where("browserKey", "=", entry.browserKey)
      .orderBy("createdAt", "desc")
      .limit(limits.perBrowserMax - 1)
      .execute();
    await queries
      .deleteFrom("pendingSignIns")
      .where("browserKey", "=", entry.browserKey)
      .$if(kept.length > 0, (query) =>
        query.where(
          "stateDigest",
          "not in",
          kept.map(({ stateDigest }) => stateDigest),
        ),
      )
      .execute();
    const { count } = await queries
      .selectFrom("pendingSignIns")
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .executeTakeFirstOrThrow();
    if (count >= limits.totalMax) throw new StoreLimitError("login_attempts");
    await queries
      .insertInto("pendingSignIns")
      .values({ ...entry, createdAt: now, expiresAt: now + limits.ttlMs })
      .execute();
  });
}

/** Whether a browser has a sign-in under way. */
export async function hasPendingSignIn(store: Store, browserKey: string): Promise<boolean> {
  const row = await store.query
    .selectFrom("pendingSignIns")
    .select("browserKey")
    .where("browserKey", "=", browserKey)
    .where("expiresAt", ">", store.now())
    .executeTakeFirst();
  return row !== undefined;
}

/** Takes a pending sign-in out: of any number of callers one gets it, all others null. */
export async function takePendingSignIn(
  store: Store,
  browserKey: string,
  stateDigest: string,
): Promise<PendingSignIn | null> {
  const taken = await store.query
    .deleteFrom("pendingSignIns")
    .where("browserKey", "=", browserKey)
    .where("stateDigest", "=", stateDigest)
    .returningAll()
    .executeTakeFirst();
  return taken === undefined || taken.expiresAt <= store.now() ? null : taken;
}
