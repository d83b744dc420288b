import { CompiledQuery, type Kysely, sql } from "kysely";
import { ConfigError } from "../../core/errors.ts";
import { firstTables } from "./migration-0001-first-tables.ts";
import { logoutNotices } from "./migration-0002-logout-notices.ts";
import { cliLogins } from "./migration-0003-cli-logins.ts";
import { indices } from "./migration-0004-indices.ts";
import { approval } from "./migration-0005-approval.ts";
import type { Schema } from "./schema.ts";
import type { DatabaseKind, Queries } from "./store.ts";

/** The statements that lead from one version to the next; they never change once released. */
export type Migration = (kind: DatabaseKind) => readonly string[];

/** The n-th leads from version n to n + 1; an empty database is of version 0. */
const MIGRATIONS: readonly Migration[] = [firstTables, logoutNotices, cliLogins, indices, approval];

/** The version that this code works with. */
export const SCHEMA_VERSION = MIGRATIONS.length;

const LOCK_CLASS = 1_212_241_748;

/**
 * Brings the tables to {@link SCHEMA_VERSION}, all steps in one transaction. Processes that open a database at once do
 * so one after the other.
 *
 * @throws ConfigError where the database is of a newer version
 */
export async function migrate(
  query: Kysely<Schema>,
  kind: DatabaseKind,
  setting: string,
): Promise<void> {
  await query.transaction().execute(async (queries) => {
    // SQLite's transactions have the write lock from their beginning.
    if (kind === "postgres") {
      await sql`select pg_advisory_xact_lock(${LOCK_CLASS}::int, 0)`.execute(queries);
    }
    const version = await versionOf(queries);
    if (version > SCHEMA_VERSION) {
      const problem = `is of version ${version}, and this Hawser knows ${SCHEMA_VERSION}: a newer Hawser has used it`;
      throw new ConfigError([{ setting, problem }]);
    }
    for (const migration of MIGRATIONS.slice(version)) {
      for (const statement of migration(kind)) {
        await queries.executeQuery(CompiledQuery.raw(statement));
      }
    }
    if (version < SCHEMA_VERSION) {
      await sql`update schema_version set version = ${SCHEMA_VERSION}`.execute(queries);
    }
  });
}

async function versionOf(queries: Queries): Promise<number> {
  await sql`create table if not exists schema_version (version integer not null)`.execute(queries);
  const { rows } = await sql<{ version: number }>`select version from schema_version`.execute(
    queries,
  );
  if (rows[0] !== undefined) return rows[0].version;
  await sql`insert into schema_version (version) values (0)`.execute(queries);
  return 0;
}
