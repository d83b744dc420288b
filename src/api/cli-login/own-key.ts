import { z } from "zod";
import type { ApiContext } from "../context.ts";
import { apiError } from "../errors.ts";
import type { Asker, Principal } from "../ports.ts";
import { empty, json, type Reply } from "../reply.ts";
import { type Route, route } from "../route.ts";
import { getApiKey, getUser, revokeApiKey, tenantId } from "../store/index.ts";

const WHOAMI = z.object({
  kind: z.enum(["session", "key", "service"]),
  /** The public reference of the credential. */
  ref: z.string(),
  role: z.enum(["member", "admin"]),
  /** Of keys and services; a session is not bound by scopes. */
  scopes: z.array(z.string()).optional(),
  devices: z.array(z.string()).optional(),
  key: z.object({ name: z.string(), expires_at: z.string() }).optional(),
  user: z
    .object({ id: z.string(), email: z.string().nullable(), name: z.string().nullable() })
    .optional(),
});

/** What the holder of a credential can ask and do about that very credential. */
export function ownKeyRoutes(context: ApiContext): Route[] {
  return [
    route({
      method: "GET",
      path: "/api/whoami",
      class: "key",
      summary: "Whose the presented credential is, and what it may do.",
      responses: { 200: { description: "The credential, without its secret.", schema: WHOAMI } },
      handler: ({ principal }) => whoami(context, known(principal)),
    }),
    route({
      method: "DELETE",
      path: "/api/key",
      class: "key",
      summary: "Revokes the very key that is presented; other keys want a person's session.",
      responses: { 204: { description: "The key is revoked." } },
      handler: ({ principal, requestId, address, userAgent }) =>
        revokeOwn(context, known(principal), { requestId, address, userAgent }),
    }),
  ];
}

/** Routes of class `key` have a principal. */
function known(principal: Principal | null): Principal {
  if (principal === null) throw apiError("unauthenticated");
  return principal;
}

async function whoami({ store }: ApiContext, principal: Principal): Promise<Reply> {
  const { kind, ref, role, scopes, devices, userId } = principal;
  const tenant = tenantId(principal.tenantId);
  const key = kind === "key" ? await getApiKey(store, tenant, ref) : null;
  const user = await getUser(store, tenant, userId);
  return json(200, {
    kind,
    ref,
    role,
    ...(kind === "session" ? {} : { scopes: [...scopes].sort() }),
    ...(devices === undefined ? {} : { devices: [...devices].sort() }),
    ...(key === null
      ? {}
      : { key: { name: key.name, expires_at: new Date(key.expiresAt).toISOString() } }),
    ...(user === null ? {} : { user: { id: user.id, email: user.email, name: user.name } }),
  });
}

async function revokeOwn(context: ApiContext, principal: Principal, asker: Asker): Promise<Reply> {
  const { kind, ref, userId } = principal;
  // A session or a machine client is no key.
  if (kind !== "key") throw apiError("not_found");
  const tenant = tenantId(principal.tenantId);
  const revoked = await revokeApiKey(context.store, tenant, ref);
  if (revoked === null) throw apiError("not_found");
  context.audit.record({
    event: "key_revoked",
    tenant,
    asker,
    actor: ref,
    objectId: ref,
    detail: { owner: userId, by: "itself" },
  });
  await context.changes.announce({ revoked: [ref] });
  context.endings.end([ref]);
  return empty(204);
}
