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
import { isBusy, retryWhileBusy, type SqliteDatabase } from "../../core/sqlite-file.ts";
import { storeError } from "./errors.ts";

/** Kysely's dialect over one opened file. A transaction takes the write lock at its beginning. */
export function sqliteDialect(file: SqliteDatabase): Dialect {
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

  constructor(file: SqliteDatabase) {
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
  readonly #file: SqliteDatabase;
  #closed = false;

  constructor(file: SqliteDatabase) {
    this.#file = file;
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    this.#checkOpen();
    const statement = this.#file.prepare(sql);
    // Within a transaction nothing is busy. Otherwise it must be the same statement that is run until it succeeds: libsql
    // leaves one that was busy in progress, and no transaction could commit beside it.
    return retryWhileLocked(() => {
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
    await retryWhileLocked(() => this.#file.exec("begin immediate"));
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

/** Calls until the file is not locked by another process. */
async function retryWhileLocked<T>(attempt: () => T): Promise<T> {
  try {
    return await retryWhileBusy(attempt);
  } catch (error) {
    throw isBusy(error) ? storeError("ERR_STORE_BUSY", error) : error;
  }
}
