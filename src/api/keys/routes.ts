import type { z } from "zod";
import { assert } from "../../core/assert.ts";
import { type ApiContext, actorOf } from "../context.ts";
import { cursorFault } from "../cursor-fault.ts";
import { apiError } from "../errors.ts";
import type { Principal } from "../ports.ts";
import { empty, json, type Reply } from "../reply.ts";
import { type Call, type Route, route } from "../route.ts";
import type { Scope } from "../scopes.ts";
import {
  type ApiKey,
  getApiKey,
  hasApiKey,
  queryApiKeys,
  revokeApiKey,
  type TenantId,
  tenantId,
} from "../store/index.ts";
import { keyError } from "./errors.ts";
import { issueKey, KEY_LIFE_DEFAULT_MS, KEY_LIFE_MAX_MS } from "./issue-key.ts";
import {
  createdKey,
  keyPage,
  keyParams,
  keysQuery,
  newKeyBody,
  showKey,
  shownKey,
} from "./shapes.ts";

/** How long ago the person may have signed in who makes or revokes a key. */
export const REAUTH_MS = 15 * 60_000;

/** API keys as their owners see them. */
export function keyRoutes(context: ApiContext): readonly Route[] {
  return [
    route({
      method: "POST",
      path: "/api/keys",
      class: "session",
      summary: "Makes an API key. It is shown in this answer and never again.",
      body: { kind: "json", schema: newKeyBody },
      responses: { 201: { description: "The key, once.", schema: createdKey } },
      handler: (call) => createKey(context, call),
    }),
    route({
      method: "GET",
      path: "/api/keys",
      class: "key",
      scope: "keys:read",
      summary: "Your keys, the newest first, or with `all=true` those of the tenant.",
      query: keysQuery,
      responses: { 200: { description: "A page of keys.", schema: keyPage } },
      handler: (call) => listKeys(context, call),
    }),
    route({
      method: "GET",
      path: "/api/keys/:ref",
      class: "key",
      scope: "keys:read",
      summary: "A key, without its secret.",
      params: keyParams,
      responses: { 200: { description: "The key, without its secret.", schema: shownKey } },
      handler: async (call) => json(200, showKey(await keyOf(context, call))),
    }),
    route({
      method: "DELETE",
      path: "/api/keys/:ref",
      class: "session",
      summary: "Revokes a key at once and for good.",
      params: keyParams,
      responses: { 204: { description: "It opens nothing any more." } },
      handler: (call) => revokeKey(context, call),
    }),
  ];
}

async function createKey(
  context: ApiContext,
  call: Call<undefined, undefined, z.output<typeof newKeyBody>>,
): Promise<Reply> {
  const session = recentSession(context, call.principal);
  const { body } = call;
  const owner = {
    tenant: tenantId(session.tenantId),
    userId: session.userId,
    role: session.role,
    sessionRef: session.ref,
  };
  const wish = {
    name: body.name,
    scopes: body.scopes as readonly Scope[],
    devices: body.devices ?? null,
    requestsPerMinute: body.requests_per_minute ?? null,
    expiresAtMs: expiryOf(context, body),
  };
  const { key, text } = await issueKey(context, owner, wish, call);
  return json(201, { key: text, ...showKey(key) });
}

/** @throws ApiError `invalid_request` for both at once, and for what is over or too far ahead */
function expiryOf({ store }: ApiContext, body: z.output<typeof newKeyBody>): number {
  const now = store.now();
  const { expires_in: seconds, expires_at: instant } = body;
  if (instant === undefined) {
    return now + (seconds === undefined ? KEY_LIFE_DEFAULT_MS : seconds * 1_000);
  }
  const expiresAt = Date.parse(instant);
  if (seconds === undefined && expiresAt > now && expiresAt <= now + KEY_LIFE_MAX_MS) {
    return expiresAt;
  }
  const detail = seconds === undefined ? "is not within the next 366 days" : "stands twice";
  throw apiError("invalid_request", {
    issues: [{ in: "body", pointer: "/expires_at", detail }],
  });
}

async function listKeys(
  { store }: ApiContext,
  call: Call<undefined, z.output<typeof keysQuery>>,
): Promise<Reply> {
  const { principal, query } = call;
  assert(principal !== null, "somebody asks");
  const { limit, cursor, all } = query;
  if (all === "true" && principal.role !== "admin") throw apiError("insufficient_role");
  const filter = {
    limit,
    ...(all === "true" ? {} : { ownerId: principal.userId }),
    ...(cursor === undefined ? {} : { cursor }),
  };
  try {
    const { keys, next } = await queryApiKeys(store, tenantId(principal.tenantId), filter);
    return json(200, { keys: keys.map(showKey), ...(next === undefined ? {} : { next }) });
  } catch (error) {
    throw cursorFault(error);
  }
}

/**
 * The caller's own key of that reference, or an administrator's any of the tenant. Somebody else's is answered as one
 * that is missing, at the same cost, and the audit log is told.
 */
async function keyOf(
  { store, audit }: ApiContext,
  call: Call<z.output<typeof keyParams>>,
): Promise<ApiKey> {
  const { principal } = call;
  const { ref } = call.params;
  assert(principal !== null, "somebody asks");
  const tenant = tenantId(principal.tenantId);
  const key = await getApiKey(store, tenant, ref);
  const isSeen = key?.ownerId === principal.userId || principal.role === "admin";
  if (key !== null && isSeen) return key;
  if (await hasApiKey(store, ref)) {
    audit.record({
      event: "malicious_direct_reference",
      tenant,
      asker: call,
      actor: actorOf(principal),
      sessionRef: principal.kind === "session" ? principal.ref : null,
      objectId: ref,
    });
  }
  throw apiError("not_found");
}

async function revokeKey(
  context: ApiContext,
  call: Call<z.output<typeof keyParams>>,
): Promise<Reply> {
  const session = recentSession(context, call.principal);
  const { ref } = await keyOf(context, call);
  const tenant: TenantId = tenantId(session.tenantId);
  const revoked = await revokeApiKey(context.store, tenant, ref);
  if (revoked === null) throw apiError("not_found");
  context.audit.record({
    event: "key_revoked",
    tenant,
    asker: call,
    actor: session.userId,
    sessionRef: session.ref,
    objectId: ref,
    detail: { own: revoked.ownerId === session.userId },
  });
  context.endings.end([ref]);
  await context.changes.announce({ revoked: [ref] });
  return empty(204);
}

/** @throws ApiError `reauth_required` where the sign-in is older than {@link REAUTH_MS} */
function recentSession({ store }: ApiContext, principal: Principal | null): Principal {
  const authTimeMs = principal?.session?.authTimeMs ?? Number.NEGATIVE_INFINITY;
  if (principal === null || store.now() - authTimeMs > REAUTH_MS) throw keyError("reauth_required");
  return principal;
}
