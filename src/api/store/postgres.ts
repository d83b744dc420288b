import pg from "pg";

const CONNECT_TIMEOUT_MS = 5_000;
const INT8_OID = 20;
/**
 * How long one piece of work may have a connection. Each takes milliseconds; a server that accepts and says nothing, or a
 * network that swallows what is sent, would be waited for until the system gives the connection up, a quarter of an hour
 * later.
 */
const HELD_MAX_MS = 10_000;

/** A pool of connections to a `postgres://` URL, none of them made yet. */
export function postgresPool(
  url: string,
  connectionsMax: number,
  onIdleError: (error: Error) => void,
): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: connectionsMax,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: "hawser",
    types: { getTypeParser },
  });
  // Without listeners, a server that restarts would end this process: the pool's is for idle connections alone, and one
  // that is in use when it is cut says so itself, besides failing what was asked.
  pool.on("error", onIdleError);
  pool.on("connect", (client) => client.on("error", () => {}));
  return pool;
}

/**
 * From now on a connection that one piece of work has for too long is cut. What was asked on it fails as with a database
 * that is away.
 */
export function boundWork(pool: pg.Pool, heldMaxMs = HELD_MAX_MS): void {
  const cuts = new Map<pg.PoolClient, NodeJS.Timeout>();
  pool.on("acquire", (client) => {
    const cut = (): void => {
      cuts.delete(client);
      client.connection.stream.destroy(new SilentDatabaseError());
    };
    cuts.set(client, setTimeout(cut, heldMaxMs));
  });
  pool.on("release", (_error, client) => {
    clearTimeout(cuts.get(client));
    cuts.delete(client);
  });
}

class SilentDatabaseError extends Error {
  readonly code = "ETIMEDOUT";

  constructor() {
    super("the database gave no answer in time");
  }
}

/** All integers of the schema are safe ones, so eight-byte ones are read as numbers and not as texts. */
const getTypeParser: typeof pg.types.getTypeParser = (oid: number, format?: "text" | "binary") => {
  if (oid === INT8_OID && format !== "binary") return Number;
  return format === "binary"
    ? pg.types.getTypeParser(oid, "binary")
    : pg.types.getTypeParser(oid, "text");
};
