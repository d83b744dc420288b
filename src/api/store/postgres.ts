import type { Socket } from "node:net";
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
  // The pool listens to connections that are idle. One that is lost between two statements of a transaction would end it
  // as well; the next statement fails.
  pool.on("connect", (client) => client.on("error", () => {}));
  return pool;
}

/**
 * Cuts a connection on which a statement waits in silence for so long, from now on: the server may be gone without a word,
 * and the system would go on waiting for a quarter of an hour. The statement fails as when the server is away.
 */
export function limitSilence(pool: pg.Pool, silenceMs: number): void {
  pool.on("acquire", (client) => {
    const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
    // Set once for a connection; one that is idle is closed by the pool long before.
    if (stream.timeout === silenceMs) return;
    stream.setTimeout(silenceMs, () => {
      stream.destroy(
        Object.assign(new Error("the database server is silent"), { code: "ETIMEDOUT" }),
      );
    });
  });
}

/** All integers of the schema are safe ones, so eight-byte ones are read as numbers and not as texts. */
const getTypeParser: typeof pg.types.getTypeParser = (oid: number, format?: "text" | "binary") => {
  if (oid === INT8_OID && format !== "binary") return Number;
  return format === "binary"
    ? pg.types.getTypeParser(oid, "binary")
    : pg.types.getTypeParser(oid, "text");
};
