import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { CamelCasePlugin, type Dialect, Kysely, PostgresDialect } from "kysely";
import { AppError, ConfigError } from "../../core/errors.ts";
import { openSqliteFile } from "../../core/sqlite-file.ts";
import { migrate } from "./migrations.ts";
import { limitSilence, postgresPool } from "./postgres.ts";
import type { Schema } from "./schema.ts";
import { sqliteDialect } from "./sqlite.ts";
import { type DatabaseKind, Store } from "./store.ts";

const CONNECTIONS_MAX = 10;
const SILENCE_MS = 15_000;

/** How {@link openDatabase} opens. */
export interface OpenOptions {
  /** Milliseconds UTC; the system's clock by default. */
  readonly now?: () => number;
  /** How messages name the setting that the URL is from. */
  readonly setting?: string;
  /** Connections to a PostgreSQL server at most. */
  readonly connectionsMax?: number;
  /** How long a statement may wait for a word of a PostgreSQL server; default 15 s. Migrations have no limit. */
  readonly silenceMs?: number;
  /** Is told of idle connections that a PostgreSQL server closed; the next query makes new ones. */
  readonly onIdleError?: (error: Error) => void;
}

/**
 * Opens a database and brings its tables to this version's form, under a lock that holds between processes.
 *
 * @param url `sqlite:<path of a file>`, which is made where it is missing, or `postgres://user:password@host/database`
 * @throws ConfigError where the URL is not of these forms, the database cannot be had, or it is of a newer version. The
 *   message has neither the URL nor its password.
 */
export async function openDatabase(url: string, options: OpenOptions = {}): Promise<Store> {
  const { now = Date.now, setting = "database" } = options;
  const kind = kindOf(url, setting);
  let query: Kysely<Schema> | null = null;
  try {
    const { connectionsMax = CONNECTIONS_MAX, onIdleError = () => {} } = options;
    const pool = kind === "sqlite" ? null : postgresPool(url, connectionsMax, onIdleError);
    const dialect = pool === null ? await sqliteAt(url, setting) : new PostgresDialect({ pool });
    query = connect(dialect);
    await migrate(query, kind, setting);
    if (pool !== null) limitSilence(pool, options.silenceMs ?? SILENCE_MS);
    return new Store(kind, query, now);
  } catch (error) {
    await query?.destroy().catch(() => {});
    if (error instanceof AppError) throw error;
    throw new ConfigError([{ setting, problem: problemOf(error) }]);
  }
}

function connect(dialect: Dialect): Kysely<Schema> {
  return new Kysely<Schema>({ dialect, plugins: [new CamelCasePlugin()] });
}

async function sqliteAt(url: string, setting: string): Promise<Dialect> {
  const path = resolve(pathOf(url));
  try {
    // Made here and not by SQLite, so that nobody else may read it.
    await (await open(path, "a", 0o600)).close();
  } catch (error) {
    throw new ConfigError([{ setting, problem: `the file cannot be opened (${codeOf(error)})` }]);
  }
  return sqliteDialect(await openSqliteFile(path));
}

function kindOf(url: string, setting: string): DatabaseKind {
  const form = "sqlite:<path> or postgres://<user>@<host>/<database>";
  if (/^sqlite:/.test(url)) {
    const path = pathOf(url);
    if (path !== "" && !path.includes("\0") && !path.startsWith(":") && !path.endsWith("/")) {
      return "sqlite";
    }
    throw new ConfigError([{ setting, problem: "names no file after sqlite:" }]);
  }
  if (/^postgres(ql)?:\/\//.test(url)) {
    if (URL.canParse(url) && new URL(url).pathname.length > 1) return "postgres";
    throw new ConfigError([{ setting, problem: `must be ${form}, and name the database` }]);
  }
  throw new ConfigError([{ setting, problem: `must be ${form}` }]);
}

/** `sqlite:path`, `sqlite:/path` and `sqlite:///path`. */
function pathOf(url: string): string {
  return url.slice("sqlite:".length).replace(/^\/\/(?=\/)/, "");
}

/** In words of our own: a driver's message may quote what it was given. */
function problemOf(error: unknown): string {
  switch (codeOf(error)) {
    case "ECONNREFUSED":
    case "ECONNRESET":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "ENOENT":
    case "ETIMEDOUT":
      return `the server cannot be reached (${codeOf(error)})`;
    case "28P01":
    case "28000":
      return "the server refuses the user or its password";
    case "3D000":
      return "the server has no such database";
    case "SQLITE_NOTADB":
      return "the file is not an SQLite database";
    case "":
      return "the server cannot be reached, or gave no answer in time";
    default:
      return `cannot be opened (${codeOf(error)})`;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
