import { setTimeout as delay } from "node:timers/promises";
import Database from "libsql";

export type SqliteDatabase = Database.Database;

/** How long SQLite itself waits for a lock. It blocks the whole process, so the rest is waited out by a timer. */
const BUSY_TIMEOUT_MS = 10;
const BUSY_RETRY_MS = 5;
/** How long one waits for a lock where nothing else is said. */
export const BUSY_TOTAL_MS = 15_000;

/** What is written when SQLite says so: nothing is lost when power fails, or at most what was written last. */
export type Durability = "full" | "normal";

/**
 * Opens the file at an absolute path, makes it where it is missing.
 *
 * @throws what libsql throws
 */
export async function openSqliteFile(
  path: string,
  durability: Durability = "full",
): Promise<SqliteDatabase> {
  const file = new Database(path);
  try {
    file.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`);
    // Two processes that open a new file at once meet here, and SQLite does not wait by itself.
    await retryWhileBusy(() => file.exec("pragma journal_mode = wal"));
    file.exec(`pragma synchronous = ${durability}`);
    file.exec("pragma foreign_keys = on");
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Calls until the file is not locked by another process. The event loop goes on meanwhile.
 *
 * @param attempt must run the same statement each time: libsql leaves one that was busy in progress, and no transaction
 *   could commit beside it
 * @throws what `attempt` throws; after `totalMs` the error of the lock, for which {@link isBusy} holds
 */
export async function retryWhileBusy<T>(attempt: () => T, totalMs = BUSY_TOTAL_MS): Promise<T> {
  for (let waitedMs = 0; ; waitedMs += BUSY_RETRY_MS + BUSY_TIMEOUT_MS) {
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error) || waitedMs >= totalMs) throw error;
      await delay(BUSY_RETRY_MS);
    }
  }
}

/** Whether another process holds the lock that was wanted. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && String(error.code).startsWith("SQLITE_BUSY");
}
