import { StoreLimitError } from "./errors.ts";
import type { Queries, Store } from "./store.ts";

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
  return store.lightTransaction(async (queries) => {
    await store.lock(queries, browserLock(entry.browserKey));
    const now = store.now();
    await queries.deleteFrom("pendingSignIns").where("expiresAt", "<=", now).execute();
    const kept = await queries
      .selectFrom("pendingSignIns")
      .select("stateDigest")
      .where("browserKey", "=", entry.browserKey)
      .where("stateDigest", "!=", REPLACED)
      .orderBy("createdAt", "desc")
      .limit(limits.perBrowserMax - 1)
      .execute();
    await queries
      .deleteFrom("pendingSignIns")
      .where("browserKey", "=", entry.browserKey)
      .where("stateDigest", "!=", REPLACED)
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
      .where("stateDigest", "!=", REPLACED)
      .executeTakeFirstOrThrow();
    if (count >= limits.totalMax) throw new StoreLimitError("login_attempts");
    await queries
      .insertInto("pendingSignIns")
      .values({ ...entry, createdAt: now, expiresAt: now + limits.ttlMs })
      .execute();
  });
}

/** What stands before the digest of a state that was taken. Such a row finds nothing; it stands for a sign-in in its last step. */
const TAKEN = "taken:";
/** In place of a digest: a sign-in has given the browser another id. */
const REPLACED = "replaced";
/** Longer than a request of the browser may be on its way. */
const REPLACED_KEPT_MS = 2 * 60_000;

/** Keeps apart what changes the pending sign-ins of one browser. */
export function browserLock(browserKey: string): string {
  return `browser:${browserKey}`;
}

/** What is known of a browser that is not signed in. */
export type BrowserTrace = "pending" | "replaced" | null;

/**
 * Whether a sign-in has lately given the browser another id, or else whether it has one under way that was not taken; null
 * for neither.
 */
export async function findBrowserTrace(store: Store, browserKey: string): Promise<BrowserTrace> {
  const rows = await store.query
    .selectFrom("pendingSignIns")
    .select("stateDigest")
    .where("browserKey", "=", browserKey)
    .where("stateDigest", "not like", `${TAKEN}%`)
    .where("expiresAt", ">", store.now())
    .execute();
  const kept = new Set(rows.map(({ stateDigest }) => stateDigest));
  if (kept.has(REPLACED)) return "replaced";
  return kept.size === 0 ? null : "pending";
}

/** Notes that a browser has another id from now on. Everything of the old one is dropped before. */
export async function noteReplaced(
  queries: Queries,
  browserKey: string,
  now: number,
): Promise<void> {
  await queries
    .insertInto("pendingSignIns")
    .values({
      browserKey,
      stateDigest: REPLACED,
      sealed: "",
      createdAt: now,
      expiresAt: now + REPLACED_KEPT_MS,
    })
    .execute();
}

/**
 * Takes a pending sign-in: of any number of callers one gets it, all others null. A trace of it stays until
 * {@link endTakenSignIn}, or until all of the browser's are dropped: then the sign-in does not complete.
 */
export async function takePendingSignIn(
  store: Store,
  browserKey: string,
  stateDigest: string,
): Promise<PendingSignIn | null> {
  const taken = await store.query
    .updateTable("pendingSignIns")
    .set({ stateDigest: TAKEN + stateDigest })
    .where("browserKey", "=", browserKey)
    .where("stateDigest", "=", stateDigest)
    .returningAll()
    .executeTakeFirst();
  const isGood = taken !== undefined && taken.expiresAt > store.now();
  return isGood ? { ...taken, stateDigest } : null;
}

/** Removes what {@link takePendingSignIn} left. False where it is gone: the browser was signed out or in meanwhile. */
export async function endTakenSignIn(
  queries: Queries,
  browserKey: string,
  stateDigest: string,
): Promise<boolean> {
  const ended = await queries
    .deleteFrom("pendingSignIns")
    .where("browserKey", "=", browserKey)
    .where("stateDigest", "=", TAKEN + stateDigest)
    .returning("browserKey")
    .executeTakeFirst();
  return ended !== undefined;
}
