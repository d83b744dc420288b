import { type Selectable, sql } from "kysely";
import { assert } from "../../core/assert.ts";
import { storeError } from "./errors.ts";
import type { AuditEventsTable } from "./schema.ts";
import type { Queries, Store } from "./store.ts";
import { scoped, type TenantId } from "./tenant.ts";

/** Something that happened. It is never changed nor removed; the database itself refuses that. */
export interface AuditEvent extends Omit<Selectable<AuditEventsTable>, "detail"> {
  readonly detail: Readonly<Record<string, unknown>> | null;
}

/** What is known of an event. Texts are stored with control characters escaped. No field may hold a secret. */
export interface NewAuditEvent {
  readonly event: string;
  readonly requestId?: string | null;
  readonly actor?: string | null;
  readonly objectId?: string | null;
  readonly ip?: string | null;
  readonly userAgent?: string | null;
  /** The first 12 hex digits of SHA-256 of the login session's id. */
  readonly sessionRef?: string | null;
  readonly detail?: Readonly<Record<string, unknown>> | null;
}

/** Adds an event. Those of nobody's tenant, such as a sign-in that failed, are given null. */
export function appendAuditEvent(
  store: Store,
  tenant: TenantId | null,
  event: NewAuditEvent,
): Promise<void> {
  return insertAuditEvent(store.query, tenant, store.now(), event);
}

/** One of several events that are added at once: whose it is and when it happened. */
export interface NewAuditRow {
  readonly tenant: TenantId | null;
  /** Milliseconds UTC. */
  readonly time: number;
  readonly event: NewAuditEvent;
}

/** Events that one call of {@link appendAuditEvents} adds at most: 5,500 parameters, of SQLite's 32,766. */
export const AUDIT_BATCH_MAX = 500;

/** Adds several events by one statement, in their order: all of them, or, where it fails, none. */
export function appendAuditEvents(store: Store, rows: readonly NewAuditRow[]): Promise<void> {
  return insertAuditEvents(store.query, rows);
}

/** The same within the caller's transaction. */
export async function insertAuditEvents(
  queries: Queries,
  rows: readonly NewAuditRow[],
): Promise<void> {
  assert(rows.length <= AUDIT_BATCH_MAX, "a batch of events is within its limit");
  if (rows.length === 0) return;
  const values = rows.map(({ tenant, time, event }) => valuesOf(tenant, time, event));
  await queries.insertInto("auditEvents").values(values).execute();
}

/** Adds an event within the caller's transaction. */
export async function insertAuditEvent(
  queries: Queries,
  tenant: TenantId | null,
  time: number,
  event: NewAuditEvent,
): Promise<void> {
  await insertAuditEvents(queries, [{ tenant, time, event }]);
}

function valuesOf(tenant: TenantId | null, time: number, event: NewAuditEvent) {
  return {
    time,
    tenant: tenant === null ? null : scoped(tenant),
    event: event.event,
    requestId: escaped(event.requestId),
    actor: escaped(event.actor),
    objectId: escaped(event.objectId),
    ip: escaped(event.ip),
    userAgent: escaped(event.userAgent),
    sessionRef: escaped(event.sessionRef),
    // JSON has its own escapes; PostgreSQL takes no NUL, and this leaves none.
    detail: event.detail == null ? null : JSON.stringify(event.detail),
  };
}

/** Which events {@link queryAuditEvents} gives. */
export interface AuditFilter {
  /** At most so many a page. */
  readonly limit: number;
  readonly cursor?: string;
  readonly event?: string;
  readonly actor?: string;
  readonly objectId?: string;
  /** The first millisecond. */
  readonly since?: number;
  /** The millisecond after the last. */
  readonly until?: number;
}

/**
 * A page of events, the newest first: by their times, and those of one millisecond by when they were stored. Without
 * `next` it is the last one.
 */
export interface AuditPage {
  readonly events: readonly AuditEvent[];
  readonly next?: string;
}

/**
 * The events of a tenant.
 *
 * @throws AppError `ERR_STORE_CURSOR_INVALID`
 */
export async function queryAuditEvents(
  store: Store,
  tenant: TenantId,
  { limit, cursor, event, actor, objectId, since, until }: AuditFilter,
): Promise<AuditPage> {
  // Of several filters the one that leaves least is to choose the index. SQLite does not know which that is, unless the
  // others are no plain columns to it.
  const within = store.kind === "sqlite" && (objectId !== undefined || actor !== undefined);
  const plain = (column: "event" | "actor") => (within ? sql<string>`+${sql.ref(column)}` : column);
  let query = store.query
    .selectFrom("auditEvents")
    .selectAll()
    .where("tenant", "=", scoped(tenant))
    .orderBy("time", "desc")
    .orderBy("id", "desc")
    .limit(limit + 1);
  if (cursor !== undefined) query = query.where(before(readCursor(cursor)));
  if (event !== undefined) query = query.where(plain("event"), "=", event);
  if (actor !== undefined) {
    query = query.where(objectId === undefined ? "actor" : plain("actor"), "=", actor);
  }
  if (objectId !== undefined) query = query.where("objectId", "=", objectId);
  if (since !== undefined) query = query.where("time", ">=", since);
  if (until !== undefined) query = query.where("time", "<", until);
  const rows = await query.execute();
  const events = rows
    .slice(0, limit)
    .map((row) => ({ ...row, detail: row.detail === null ? null : JSON.parse(row.detail) }));
  const last = events.at(-1);
  return rows.length > limit && last !== undefined
    ? { events, next: `${last.time.toString(36)}.${last.id.toString(36)}` }
    : { events };
}

interface Place {
  readonly time: number;
  readonly id: number;
}

function before({ time, id }: Place) {
  return sql<boolean>`(time, id) < (${time}, ${id})`;
}

function readCursor(cursor: string): Place {
  const [, time = "", id = ""] = /^([0-9a-z]{1,10})\.([0-9a-z]{1,10})$/.exec(cursor) ?? [];
  if (id === "") throw storeError("ERR_STORE_CURSOR_INVALID");
  return { time: Number.parseInt(time, 36), id: Number.parseInt(id, 36) };
}

function escaped(text: string | null | undefined): string | null {
  if (text == null) return null;
  const wellFormed = text.replace(/\p{Surrogate}/gu, "\ufffd");
  return wellFormed.replace(
    /\p{Cc}/gu,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
