import { randomBytes } from "node:crypto";
import { type Kysely, sql, type Transaction } from "kysely";
import type { Schema } from "./schema.ts";

/** Which database is behind a store. */
export type DatabaseKind = "sqlite" | "postgres";

/** A store, or a transaction of it. */
export type Queries = Kysely<Schema>;

const ATTEMPTS_MAX = 5;

/** Set apart from other users' advisory locks; a lock's second number is made from its name. */
const LOCK_CLASS = 1_212_241_747;

/**
 * An opened database. Only this folder looks inside; others hand it to this folder's functions.
 *
 * Each function is atomic: what it does in several statements is one transaction.
 */
export class Store {
  readonly kind: DatabaseKind;
  /** For statements that stand alone. Within a transaction its own handle must be used. */
  readonly query: Queries;
  readonly #now: () => number;
  #credentialEpoch = 0;
  #removalEpoch = 0;

  constructor(kind: DatabaseKind, query: Queries, now: () => number) {
    this.kind = kind;
    this.query = query;
    this.#now = now;
  }

  /**
   * Another number after each change that this process makes to what API keys may do: to a key, its owner or its tenant.
   * Whoever remembers what was read compares it.
   */
  get credentialEpoch(): number {
    return this.#credentialEpoch;
  }

  /** To be called after the commit of such a change. */
  noteCredentialChange(): void {
    this.#credentialEpoch += 1;
  }

  /** Another number after each time that this process removed devices. Whoever remembers devices compares it. */
  get removalEpoch(): number {
    return this.#removalEpoch;
  }

  /** To be called after the commit of such a removal. */
  noteDevicesRemoved(): void {
    this.#removalEpoch += 1;
  }

  /** Milliseconds UTC, an integer. */
  now(): number {
    return Math.floor(this.#now());
  }

  /**
   * Runs `work` in one transaction: all of it happens, or, where it throws, nothing. Where PostgreSQL undoes it because
   * two transactions waited for each other, it runs again; so `work` must have no other effects.
   */
  async transaction<T>(work: (queries: Transaction<Schema>) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.query.transaction().execute(work);
      } catch (error) {
        if (attempt === ATTEMPTS_MAX || !isConflict(error)) throw error;
      }
    }
  }

  /**
   * A transaction of which nothing is lost when this process ends, but which a loss of power may undo: for what is worth
   * nothing after a few minutes. SQLite need not wait for the disk then, and neither must all others here that want the
   * file. On PostgreSQL it is as any other.
   */
  lightTransaction<T>(work: (queries: Transaction<Schema>) => Promise<T>): Promise<T> {
    if (this.kind !== "sqlite") return this.transaction(work);
    return this.query.connection().execute(async (connection) => {
      // Within a transaction it would have no effect.
      await sql`pragma synchronous = normal`.execute(connection);
      try {
        return await connection.transaction().execute(work);
      } finally {
        await sql`pragma synchronous = full`.execute(connection);
      }
    });
  }

  /**
   * Keeps out, until the transaction ends, all others that lock the same name: for limits, which count before they
   * add. A name carries its tenant. SQLite has one writer at a time anyway.
   */
  async lock(queries: Transaction<Schema>, name: string): Promise<void> {
    if (this.kind === "sqlite") return;
    await sql`select pg_advisory_xact_lock(${LOCK_CLASS}::int, hashtext(${name}))`.execute(queries);
  }

  /** The same for many names, taken in one order by everybody. One statement. */
  async lockAll(queries: Transaction<Schema>, names: readonly string[]): Promise<void> {
    if (this.kind === "sqlite" || names.length === 0) return;
    await sql`select pg_advisory_xact_lock(${LOCK_CLASS}::int, key) from (
      select distinct hashtext(name) as key from unnest(${names}::text[]) as name order by key
    ) as keys`.execute(queries);
  }

  /** Waits for what runs and closes all connections. */
  close(): Promise<void> {
    return this.query.destroy();
  }
}

/** PostgreSQL's codes for a deadlock and for a failure of serialisation. */
function isConflict(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^40(P01|001)$/.test(String(error.code));
}

/** A public id of an object: 96 random bits in hex. */
export function mintObjectId(): string {
  return randomBytes(12).toString("hex");
}
