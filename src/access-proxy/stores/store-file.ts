import { chmodSync, closeSync, openSync } from "node:fs";
import { join, resolve } from "node:path";
import { ConfigError } from "../../core/errors.ts";
import { makeFolder } from "../../core/folder.ts";
import { makeOnce } from "../../core/make-once.ts";
import {
  type Durability,
  isBusy,
  openSqliteFile,
  retryWhileBusy,
  type SqliteDatabase,
} from "../../core/sqlite-file.ts";
import { storeError } from "./errors.ts";
import { isBoxKey, newBoxKey, SealedBox } from "./sealed-box.ts";
import { readText, systemCode } from "./watched.ts";

/** Names of the two files in the data folder. */
export const STORE_FILES = { database: "access-proxy.db", key: "access-proxy.key" } as const;

/** A call waits for the lock of another process no longer than this. */
const BUSY_TOTAL_MS = 2_000;
const SCHEMA_VERSION = 1;

const SCHEMA = `
create table if not exists tokens (
  caller_scope text not null,
  tag text not null,
  sealed text not null,
  issuer text not null,
  scope text not null,
  expires_at integer not null,
  primary key (caller_scope, tag)
) without rowid;
create index if not exists tokens_by_end on tokens (expires_at);
create table if not exists sessions (
  key text not null primary key,
  sealed text not null,
  mark text not null,
  expires_at integer not null,
  keep_until integer not null
) without rowid;
create index if not exists sessions_by_end on sessions (keep_until);
pragma user_version = ${SCHEMA_VERSION};
`;

type Value = string | number;

/** The database as a statement sees it. */
export interface Statements {
  /** Rows of a query, or of a statement that returns some. */
  rows<T>(sql: string, ...values: Value[]): T[];
  /** Rows that were changed. */
  run(sql: string, ...values: Value[]): number;
}

/**
 * Makes an empty file of mode 0600 where there is none: SQLite would make it as the umask says, and its companions like it.
 * One that is there is not opened, since closing it would end all locks that this process has on it.
 */
function makeEmpty(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
  }
}

/** The SQLite file of tokens and sessions, and the key that both are encrypted with. */
export class StoreFile implements Statements {
  readonly box: SealedBox;
  readonly #database: SqliteDatabase;
  #isClosed = false;

  private constructor(database: SqliteDatabase, box: SealedBox) {
    this.#database = database;
    this.box = box;
  }

  /**
   * Opens the file in a data folder; makes folder (mode 0700), file and key (mode 0600) where they are missing.
   *
   * @throws ConfigError for `dataDir`
   */
  static async open(folder: string, durability: Durability): Promise<StoreFile> {
    const path = resolve(folder, STORE_FILES.database);
    const keyPath = join(folder, STORE_FILES.key);
    let database: SqliteDatabase | null = null;
    try {
      makeFolder(folder, 0o700);
      makeOnce(keyPath, newBoxKey);
      makeEmpty(path);
      chmodSync(path, 0o600);
      const key = readText(keyPath).trim();
      if (!isBoxKey(key)) {
        throw new ConfigError([{ setting: keyPath, problem: "is not a key that Hawser has made" }]);
      }
      database = await openSqliteFile(path, durability);
      const file = new StoreFile(database, new SealedBox(key));
      await file.write(() => file.#prepare(path));
      return file;
    } catch (error) {
      database?.close();
      if (error instanceof ConfigError) throw error;
      const problem = `the database ${path} cannot be used (${systemCode(error)})`;
      throw new ConfigError([{ setting: "dataDir", problem }]);
    }
  }

  #prepare(path: string): void {
    const version = this.rows<{ user_version: number }>("pragma user_version")[0]?.user_version;
    if (version === SCHEMA_VERSION) return;
    if (version !== 0) {
      const problem = `the database ${path} is of another version of Hawser`;
      throw new ConfigError([{ setting: "dataDir", problem }]);
    }
    this.#database.exec(SCHEMA);
  }

  rows<T>(sql: string, ...values: Value[]): T[] {
    this.#checkOpen();
    // `all`, not `get`: the latter adds a property of libsql's own to the row.
    return this.#database.prepare(sql).all(...values) as T[];
  }

  run(sql: string, ...values: Value[]): number {
    this.#checkOpen();
    return this.#database.prepare(sql).run(...values).changes;
  }

  /** Runs `work`, which reads alone: writers of other processes do not hold it up. */
  async read<T>(work: (statements: Statements) => T): Promise<T> {
    return await this.#whileBusy(() => work(this));
  }

  /**
   * Runs `work` as one transaction that has the write lock. Nothing of this process or another one comes between its
   * statements.
   *
   * @throws AppError `ERR_ACCESS_PROXY_STORE_BUSY`
   */
  async write<T>(work: (statements: Statements) => T): Promise<T> {
    return await this.#whileBusy(() => {
      this.#checkOpen();
      // `exec`, which leaves no statement behind where the lock is another's.
      this.#database.exec("begin immediate");
      try {
        const result = work(this);
        this.#database.exec("commit");
        return result;
      } catch (error) {
        if (this.#database.inTransaction) this.#database.exec("rollback");
        throw error;
      }
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#database.close();
  }

  async #whileBusy<T>(attempt: () => T): Promise<T> {
    try {
      return await retryWhileBusy(attempt, BUSY_TOTAL_MS);
    } catch (error) {
      throw isBusy(error) ? storeError("ERR_ACCESS_PROXY_STORE_BUSY", error) : error;
    }
  }

  /** libsql ends the process when a closed file is asked. */
  #checkOpen(): void {
    if (this.#isClosed) throw storeError("ERR_ACCESS_PROXY_STORE_CLOSED");
  }
}
