import pg from "pg";

const CONNECT_TIMEOUT_MS = 5_000;
const INT8_OID = 20;

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
  // Without a listener, a server that restarts would end this process.
  pool.on("error", onIdleError);
  return pool;
}

/** All integers of the schema are safe ones, so eight-byte ones are read as numbers and not as texts. */
const getTypeParser: typeof pg.types.getTypeParser = (oid: number, format?: "text" | "binary") => {
  if (oid === INT8_OID && format !== "binary") return Number;
  return format === "binary"
    ? pg.types.getTypeParser(oid, "binary")
    : pg.types.getTypeParser(oid, "text");
};
