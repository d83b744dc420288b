import { withoutTokens } from "../access-log.ts";
import type { AuditEntry } from "../context.ts";
import { type NewAuditRow, tenantId } from "../store/index.ts";

const TEXT_CHARACTERS_MAX = 512;
const DETAIL_MEMBERS_MAX = 32;

/**
 * An entry as it is kept: with its time, every text short and without the secret part of a token of ours, should a
 * caller have sent one where it does not belong. What the database could not take is refused here, before it would hold up
 * those behind it.
 *
 * @throws AppError `ERR_STORE_TENANT_INVALID`
 */
export function keptOf(entry: AuditEntry, time: number): NewAuditRow {
  const { asker, detail } = entry;
  return {
    tenant: entry.tenant === null ? null : tenantId(entry.tenant),
    time: Math.floor(time),
    event: {
      event: short(entry.event),
      requestId: shortOrNull(asker?.requestId),
      actor: shortOrNull(entry.actor),
      objectId: shortOrNull(entry.objectId),
      ip: shortOrNull(asker?.address),
      userAgent: shortOrNull(asker?.userAgent),
      sessionRef: shortOrNull(entry.sessionRef),
      detail: detail == null ? null : shortDetail(detail),
    },
  };
}

/**
 * The line of an event: one JSON object with a line feed behind it. It has no other control character, in whatever
 * encoding a reader takes it, and no separator of lines of Unicode.
 */
export function lineOf({ tenant, time, event }: NewAuditRow): string {
  const members = {
    time: new Date(time).toISOString(),
    event: event.event,
    tenant,
    actor: event.actor,
    object_id: event.objectId,
    request_id: event.requestId,
    ip: event.ip,
    user_agent: event.userAgent,
    session_ref: event.sessionRef,
    detail: event.detail,
  };
  // JSON itself escapes those up to U+001F.
  const text = JSON.stringify(members).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `${text}\n`;
}

function short(text: string): string {
  return withoutTokens(text).slice(0, TEXT_CHARACTERS_MAX);
}

function shortOrNull(text: string | null | undefined): string | null {
  return text == null || text === "" ? null : short(text);
}

function shortDetail(detail: NonNullable<AuditEntry["detail"]>): NonNullable<AuditEntry["detail"]> {
  const members = Object.entries(detail).slice(0, DETAIL_MEMBERS_MAX);
  return Object.fromEntries(
    members.map(([name, value]) => [name, typeof value === "string" ? short(value) : value]),
  );
}
