import { setTimeout as delay } from "node:timers/promises";
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";
import Database from "libsql";
import { storeError } from "./errors.ts";

/** How long SQLite itself waits for a lock. It blocks the whole process, so the rest is waited out by a timer. */
const BUSY_TIMEOUT_MS = 10;
const BUSY_RETRY_MS = 5;
const BUSY_TOTAL_MS = 15_000;

/** Opens the file at an absolute path, makes it where it is missing. Throws what libsql throws. */
export async function openSqliteFile(path: string): Promise<Database.Database> {
  const file = new Database(path);
  try {
    file.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`);
    // Two processes that open a new file at once meet here, and SQLite does not wait by itself.
    await retryWhileBusy(() => file.exec("pragma journal_mode = wal"));
    file.exec("pragma synchronous = full");
    file.exec("pragma foreign_keys = on");
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Kysely's dialect over one opened file. A transaction takes the write lock at its beginning. */
export function sqliteDialect(file: Database.Database): Dialect {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new SqliteFileDriver(file),
    createIntrospector: (database: Kysely<unknown>) => new SqliteIntrospector(database),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

/**
 * One connection, used by one at a time. Kysely's own driver begins transactions without a lock, and such a one fails
 * in the middle when another process has written meanwhile.
 */
class SqliteFileDriver implements Driver {
  readonly #connection: SqliteFileConnection;
  readonly #waiting: (() => void)[] = [];
  #taken = false;

  constructor(file: Database.Database) {
    this.#connection = new SqliteFileConnection(file);
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    if (this.#taken) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#taken = true;
    return this.#connection;
  }

  async releaseConnection(): Promise<void> {
    // Whoever is next takes over without a moment in which the connection is free.
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken = false;
    else next();
  }

  beginTransaction(): Promise<void> {
    return this.#connection.begin();
  }

  async commitTransaction(): Promise<void> {
    this.#connection.end("commit");
  }

  async rollbackTransaction(): Promise<void> {
    this.#connection.end("rollback");
  }

  /** Waits for whoever has the connection, and for those that wait for it already. */
  async destroy(): Promise<void> {
    await this.acquireConnection();
    this.#connection.close();
    await this.releaseConnection();
  }
}

class SqliteFileConnection implements DatabaseConnection {
  readonly #file: Database.Database;
  #closed = false;

  constructor(file: Database.Database) {
    this.#file = file;
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    this.#checkOpen();
    const statement = this.#file.prepare(sql);
    // Within a transaction nothing is busy. Otherwise it must be the same statement that is run until it succeeds: libsql
    // leaves one that was busy in progress, and no transaction could commit beside it.
    return retryWhileBusy(() => {
      // `all`, not `get`: the latter adds a property of libsql's own to the row.
      if (statement.reader) return { rows: statement.all(...parameters) as R[] };
      const { changes } = statement.run(...parameters);
      return { numAffectedRows: BigInt(changes), rows: [] };
    });
  }

  // biome-ignore lint/correctness/useYield: a driver must have it; nothing here streams.
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error("queries are not streamed");
  }

  /** Begins a transaction that has the write lock. `exec` leaves no statement behind when it was busy. */
  async begin(): Promise<void> {
    this.#checkOpen();
    await retryWhileBusy(() => this.#file.exec("begin immediate"));
  }

  /** SQLite ends a transaction by itself after some failures; then there is nothing to roll back. */
  end(how: "commit" | "rollback"): void {
    if (how === "commit" || this.#file.inTransaction) this.#file.exec(how);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#file.close();
  }

  /** libsql ends the process when a closed file is asked. */
  #checkOpen(): void {
    if (this.#closed) throw new Error("the database is closed");
  }
}

/** Calls until the file is not locked by another process. The event loop goes on meanwhile. */
async function retryWhileBusy<T>(attempt: () => T): Promise<T> {
  for (let waitedMs = 0; ; waitedMs += BUSY_RETRY_MS + BUSY_TIMEOUT_MS) {
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error)) throw error;
      if (waitedMs >= BUSY_TOTAL_MS) throw storeError("ERR_STORE_BUSY", error);
      await delay(BUSY_RETRY_MS);
    }
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && String(error.code).startsWith("SQLITE_BUSY");
}
