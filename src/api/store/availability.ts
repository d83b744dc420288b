import { sql } from "kysely";
import type { Store } from "./store.ts";

/** Whether the database answers. Never rejects; a server that does not answer counts as away after a few seconds. */
export async function isReachable(store: Store): Promise<boolean> {
  try {
    await sql`select 1`.execute(store.query);
    return true;
  } catch {
    return false;
  }
}

/**
 * Seconds for `Retry-After` of an answer that the database did not allow. One that is away is mostly being restarted,
 * which takes it a few seconds; who asks again too early loses no more than a request.
 */
export const STORE_RETRY_S = 2;

/** Of the system: a server that is not there, or whose connection was cut. */
const SYSTEM_CODES = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EPIPE",
  "ETIMEDOUT",
  "ERR_STORE_BUSY",
]);
/** Of PostgreSQL: connection exceptions, a server that stops or starts, one that takes no more connections. */
const SQL_STATES = /^(?:08...|57P0[123]|53300)$/;
/** What the driver says of a connection that is gone, without a code. */
const DRIVER_TEXTS =
  /^(?:Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/;

/** Whether an error of this folder's functions means that the database is away for now, and not that we are wrong. */
export function isStoreAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error ? String(error.code) : "";
  return SYSTEM_CODES.has(code) || SQL_STATES.test(code) || DRIVER_TEXTS.test(error.message);
}
