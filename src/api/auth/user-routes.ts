import { z } from "zod";
import { ApiError, apiError } from "../errors.ts";
import { empty, json, type Reply } from "../reply.ts";
import { type Call, type Route, route } from "../route.ts";
import {
  disableUser,
  enableUser,
  endLoginSessionsOfUser,
  getUser,
  listUsers,
  type TenantId,
  tenantId,
  type User,
} from "../store/index.ts";
import { AUTH_ERRORS } from "./errors.ts";
import type { AuthParts } from "./parts.ts";
import { askerOf } from "./requests.ts";
import { endedCount, objectParams, personOf, timeOf } from "./session-routes.ts";

const PAGE_MAX = 200;
const PAGE_DEFAULT = 50;
const user = z.object({
  id: z.string(),
  name: z.string().nullable(),
  email: z.string().nullable(),
  role: z.enum(["member", "admin"]),
  disabled: z.boolean(),
  created_at: z.iso.datetime(),
  last_sign_in_at: z.iso.datetime(),
});
const listQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT),
  cursor: objectParams.shape.id.optional(),
});
const ADMIN = { class: "session", role: "admin" } as const;

/** The people of a tenant, for its administrators. */
export function userRoutes(parts: AuthParts): Route[] {
  return [
    route({
      ...ADMIN,
      method: "GET",
      path: "/api/users",
      summary: "The people of the tenant.",
      query: listQuery,
      responses: {
        200: {
          description: "The list, and where it goes on.",
          schema: z.object({ users: z.array(user), next: z.string().optional() }),
        },
      },
      handler: (call) => list(parts, call),
    }),
    route({
      ...ADMIN,
      method: "POST",
      path: "/api/users/:id/disable",
      summary: "Shuts a person out: sessions, keys, pairing codes and tunnels end.",
      params: objectParams,
      responses: { 204: { description: "Done." } },
      handler: (call) => disable(parts, call),
    }),
    route({
      ...ADMIN,
      method: "POST",
      path: "/api/users/:id/enable",
      summary: "Lets a person in again; keys and device tokens are good as before.",
      params: objectParams,
      responses: { 204: { description: "Done." } },
      handler: (call) => enable(parts, call),
    }),
    route({
      ...ADMIN,
      method: "DELETE",
      path: "/api/users/:id/sessions",
      summary: "Ends all sessions of a person.",
      params: objectParams,
      responses: { 200: { description: "How many ended.", schema: endedCount } },
      handler: (call) => endSessions(parts, call),
    }),
  ];
}

function shown({ id, name, email, role, disabledAt, createdAt, lastSignInAt }: User) {
  return {
    id,
    name,
    email,
    role,
    disabled: disabledAt !== null,
    created_at: timeOf(createdAt),
    last_sign_in_at: timeOf(lastSignInAt),
  };
}

async function list(
  parts: AuthParts,
  { principal, query }: Call<undefined, z.output<typeof listQuery>>,
): Promise<Reply> {
  const tenant = tenantId(personOf(principal).principal.tenantId);
  const { limit, cursor } = query;
  const after = cursor === undefined ? {} : { after: cursor };
  const found = await parts.sessions.stored(
    listUsers(parts.context.store, tenant, { limit: limit + 1, ...after }),
  );
  const users = found.slice(0, limit).map(shown);
  const last = users.at(-1);
  return json(200, {
    users,
    ...(found.length > limit && last !== undefined ? { next: last.id } : {}),
  });
}

type UserCall = Call<{ id: string }>;

/** The administrator who asks, and the tenant, which is that of the user too. */
function admin({ principal }: UserCall): { readonly tenant: TenantId; readonly userId: string } {
  const { tenantId: tenant, userId } = personOf(principal).principal;
  return { tenant: tenantId(tenant), userId };
}

async function disable(parts: AuthParts, call: UserCall): Promise<Reply> {
  const { tenant, userId } = admin(call);
  const { id } = call.params;
  if (id === userId) throw new ApiError("own_account", AUTH_ERRORS.own_account);
  const { context, sessions, endings } = parts;
  const disabled = await sessions.stored(disableUser(context.store, tenant, id));
  if (disabled === null) throw apiError("not_found");
  const { endedSessions, tokenRefs, keyRefs } = disabled;
  tell("user_disabled", parts, call);
  endings.ended(endedSessions, "disabled", { asker: askerOf(call), actor: userId });
  context.endings.end([...tokenRefs, ...keyRefs]);
  await context.changes.announce({ revoked: [...tokenRefs, ...keyRefs] });
  return empty(204);
}

async function enable(parts: AuthParts, call: UserCall): Promise<Reply> {
  const { tenant } = admin(call);
  const { store } = parts.context;
  if (!(await parts.sessions.stored(enableUser(store, tenant, call.params.id)))) {
    throw apiError("not_found");
  }
  tell("user_enabled", parts, call);
  return empty(204);
}

async function endSessions(parts: AuthParts, call: UserCall): Promise<Reply> {
  const { tenant, userId } = admin(call);
  const { id } = call.params;
  const { store } = parts.context;
  const found = await parts.sessions.stored(getUser(store, tenant, id));
  if (found === null) throw apiError("not_found");
  const ended = await parts.sessions.stored(endLoginSessionsOfUser(store, tenant, id, null));
  parts.endings.ended(ended, "ended_by_admin", { asker: askerOf(call), actor: userId });
  return json(200, { ended: ended.length });
}

function tell(event: string, { context }: AuthParts, call: UserCall): void {
  const { tenant, userId } = admin(call);
  const asker = askerOf(call);
  context.audit.record({ event, tenant, asker, actor: userId, objectId: call.params.id });
}
