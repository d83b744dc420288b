import { z } from "zod";
import { assert } from "../../core/assert.ts";
import { apiError } from "../errors.ts";
import type { Principal, SessionFacts } from "../ports.ts";
import { empty, json, type Reply } from "../reply.ts";
import { type Call, type Route, route } from "../route.ts";
import {
  endLoginSession,
  endLoginSessionsOfUser,
  getUser,
  type LoginSession,
  listLoginSessions,
  tenantId,
} from "../store/index.ts";
import { page } from "./failures.ts";
import type { AuthParts } from "./parts.ts";
import { askerOf } from "./requests.ts";

const time = z.iso.datetime();
const me = z.object({
  user: z.object({ id: z.string(), name: z.string().nullable(), email: z.string().nullable() }),
  tenant: z.string(),
  session: z.object({ created_at: time, idle_expires_at: time, absolute_expires_at: time }),
});
const nobody = z.object({ user: z.null() });
const flag = z.enum(["0", "1"]).optional();
const meQuery = z.object({ optional: flag, passive: flag });
const session = z.object({
  id: z.string(),
  created_at: time,
  last_seen_at: time,
  user_agent: z.string().nullable(),
  ip: z.string().nullable(),
  current: z.boolean(),
});
/** Of an object of the store. What does not fit names nothing. */
export const objectParams = z.object({ id: z.string().regex(/^[0-9a-f]{24}$/) });
export const endedCount = z.object({ ended: z.number().int() });

/** Milliseconds since 1970 as RFC 3339. */
export function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

/** What is asked about the caller's own sessions, and the start page. */
export function sessionRoutes(parts: AuthParts): Route[] {
  return [
    page({
      path: "/",
      reason:
        "Says what this server is; of a person who is signed in it shows no more than who that is.",
      summary: "The start page.",
      responses: { 200: { description: "A page.", mediaType: "text/html" } },
      handler: async (call) => {
        const visitor = await parts.sessions.visitor(call.cookie, call);
        const shown = visitor.session === null ? null : await userOf(visitor.session, parts);
        return parts.pages.start(shown, parts.sessions.reissue(visitor));
      },
    }),
    route({
      method: "GET",
      path: "/api/auth/me",
      class: "session",
      probe: true,
      summary: "Who is signed in.",
      query: meQuery,
      responses: {
        200: {
          description: "The person; with `optional=1` and nobody signed in, `user` is null.",
          schema: z.union([me, nobody]),
        },
      },
      handler: (call) => showMe(parts, call.principal),
    }),
    route({
      method: "GET",
      path: "/api/auth/sessions",
      class: "session",
      summary: "The caller's own sessions, the newest first.",
      responses: {
        200: { description: "The list.", schema: z.object({ sessions: z.array(session) }) },
      },
      handler: (call) => listSessions(parts, call.principal),
    }),
    route({
      method: "DELETE",
      path: "/api/auth/sessions",
      class: "session",
      summary: "Ends all sessions of the caller but this one.",
      responses: { 200: { description: "How many ended.", schema: endedCount } },
      handler: (call) => endOthers(parts, call),
    }),
    route({
      method: "DELETE",
      path: "/api/auth/sessions/:id",
      class: "session",
      summary: "Ends one session of the caller.",
      params: objectParams,
      responses: { 204: { description: "It has ended." } },
      handler: (call) => endOne(parts, call),
    }),
  ];
}

/** What the guard has made sure of for a route of class `session`. */
export function personOf(principal: Principal | null): {
  readonly principal: Principal;
  readonly facts: SessionFacts;
} {
  assert(principal?.session !== undefined, "a session's route has a session");
  return { principal, facts: principal.session };
}

function userOf({ tenant, userId }: Pick<LoginSession, "tenant" | "userId">, parts: AuthParts) {
  return parts.sessions.stored(getUser(parts.context.store, tenant, userId));
}

async function showMe(parts: AuthParts, caller: Principal | null): Promise<Reply> {
  if (caller === null) return json(200, { user: null });
  const { principal, facts } = personOf(caller);
  const { userId, tenantId: tenant } = principal;
  const user = await userOf({ tenant: tenantId(tenant), userId }, parts);
  return json(200, {
    user: { id: userId, name: user?.name ?? null, email: user?.email ?? null },
    tenant,
    session: {
      created_at: timeOf(facts.createdAtMs),
      idle_expires_at: timeOf(Math.min(facts.idleExpiresAtMs, facts.absoluteExpiresAtMs)),
      absolute_expires_at: timeOf(facts.absoluteExpiresAtMs),
    },
  });
}

async function listSessions(parts: AuthParts, caller: Principal | null): Promise<Reply> {
  const { principal, facts } = personOf(caller);
  const { context, options } = parts;
  const found = await parts.sessions.stored(
    listLoginSessions(context.store, tenantId(principal.tenantId), principal.userId, {
      idleMs: options.sessionIdleMs,
    }),
  );
  const sessions = found.map(({ publicId, createdAt, lastSeenAt, userAgent, ip }) => ({
    id: publicId,
    created_at: timeOf(createdAt),
    last_seen_at: timeOf(lastSeenAt),
    user_agent: userAgent,
    ip,
    current: publicId === facts.publicId,
  }));
  return json(200, { sessions });
}

async function endOthers(parts: AuthParts, call: Call): Promise<Reply> {
  const { principal, facts } = personOf(call.principal);
  const { store } = parts.context;
  const { userId } = principal;
  const ended = await parts.sessions.stored(
    endLoginSessionsOfUser(store, tenantId(principal.tenantId), userId, facts.key),
  );
  parts.endings.ended(ended, "ended_by_user", { asker: askerOf(call), actor: userId });
  return json(200, { ended: ended.length });
}

async function endOne(parts: AuthParts, call: Call<{ id: string }>): Promise<Reply> {
  const { principal, facts } = personOf(call.principal);
  const { store } = parts.context;
  const { userId } = principal;
  const { id } = call.params;
  const ended = await parts.sessions.stored(
    endLoginSession(store, tenantId(principal.tenantId), userId, id),
  );
  if (ended === null) throw apiError("not_found");
  parts.endings.ended([ended], "ended_by_user", { asker: askerOf(call), actor: userId });
  return empty(204, id === facts.publicId ? { "set-cookie": parts.cookies.clear() } : {});
}
