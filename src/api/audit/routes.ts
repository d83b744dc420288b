import { z } from "zod";
import type { ApiContext } from "../context.ts";
import { cursorFault } from "../cursor-fault.ts";
import { json, type Reply } from "../reply.ts";
import { type Call, type Route, route } from "../route.ts";
import { type AuditEvent, queryAuditEvents, tenantId } from "../store/index.ts";

/** Events on a page where the caller names no `limit`, and the most that it may ask for. */
export const AUDIT_PAGE_DEFAULT = 100;
export const AUDIT_PAGE_MAX = 1_000;

const text = z
  .string()
  .max(512)
  .regex(/^\P{Cc}+$/u);
const time = z.iso.datetime({ offset: true }).transform((instant) => Date.parse(instant));

const query = z.strictObject({
  event: text.optional(),
  actor: text.optional(),
  object_id: text.optional(),
  since: time.optional(),
  until: time.optional(),
  limit: z.coerce.number().int().min(1).max(AUDIT_PAGE_MAX).default(AUDIT_PAGE_DEFAULT),
  cursor: z.string().max(64).optional(),
});

const shownEvent = z.object({
  id: z.string(),
  time: z.iso.datetime(),
  event: z.string(),
  actor: z.string().nullable(),
  object_id: z.string().nullable(),
  request_id: z.string().nullable(),
  ip: z.string().nullable(),
  user_agent: z.string().nullable(),
  session_ref: z.string().nullable(),
  detail: z.record(z.string(), z.unknown()).nullable(),
});

const page = z.object({ events: z.array(shownEvent), next: z.string().optional() });

/** The audit log as administrators read it. */
export function auditRoutes(context: ApiContext): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/api/audit",
      class: "key",
      scope: "audit:read",
      role: "admin",
      summary: "The tenant's audit log, the newest event first.",
      query,
      responses: { 200: { description: "A page of events.", schema: page } },
      handler: (call) => readEvents(context, call),
    }),
  ];
}

async function readEvents(
  { store, audit }: ApiContext,
  call: Call<undefined, z.output<typeof query>>,
): Promise<Reply> {
  const tenant = tenantId(call.principal?.tenantId ?? "");
  const { object_id: objectId, event, actor, since, until, limit, cursor } = call.query;
  // What the caller has just done is to be in the answer.
  await audit.flush?.();
  const filter = {
    limit,
    ...(cursor === undefined ? {} : { cursor }),
    ...(event === undefined ? {} : { event }),
    ...(actor === undefined ? {} : { actor }),
    ...(objectId === undefined ? {} : { objectId }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  };
  try {
    const { events, next } = await queryAuditEvents(store, tenant, filter);
    return json(200, { events: events.map(shown), ...(next === undefined ? {} : { next }) });
  } catch (error) {
    throw cursorFault(error);
  }
}

function shown({ id, time, ...event }: AuditEvent): z.input<typeof shownEvent> {
  return {
    id: id.toString(36),
    time: new Date(time).toISOString(),
    event: event.event,
    actor: event.actor,
    object_id: event.objectId,
    request_id: event.requestId,
    ip: event.ip,
    user_agent: event.userAgent,
    session_ref: event.sessionRef,
    detail: event.detail,
  };
}
