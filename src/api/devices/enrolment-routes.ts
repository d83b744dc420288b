import { z } from "zod";
import { mintToken } from "../../core/token.ts";
import { empty, json } from "../reply.ts";
import { type Route, route } from "../route.ts";
import { createEnrolmentKey, listEnrolmentKeys, revokeEnrolmentKey } from "../store/index.ts";
import { makerOf, missing, note, unconfinedOf } from "./caller.ts";
import { withLimits } from "./errors.ts";
import type { DeviceParts } from "./parts.ts";
import { deviceName, enrolmentJson, enrolmentParams, enrolmentShape, tags } from "./shapes.ts";

const DAY_MS = 24 * 60 * 60_000;
const DAYS_DEFAULT = 30;
const DAYS_MAX = 366;
const USES_MAX = 100_000;
const LIST_DEFAULT = 50;
const LIST_MAX = 200;

/** An administrator's routes of enrolment keys. */
export function enrolmentRoutes({ context, options }: DeviceParts): Route[] {
  const access = { class: "key", scope: "enrolment:write", role: "admin" } as const;
  return [
    route({
      ...access,
      method: "POST",
      path: "/api/enrolment-keys",
      summary: "Makes a key by which many devices enrol themselves.",
      body: {
        kind: "json",
        schema: z.strictObject({
          name: deviceName,
          uses_max: z.number().int().min(1).max(USES_MAX),
          expires_in_days: z.number().int().min(1).max(DAYS_MAX).default(DAYS_DEFAULT),
          tags: tags.default([]),
        }),
      },
      responses: {
        201: {
          description: "Made. No other answer shows the key.",
          schema: enrolmentShape.extend({ key: z.string() }),
        },
      },
      handler: async (call) => {
        const { tenant, ownerId } = makerOf(call);
        const { name, uses_max, expires_in_days, tags: given } = call.body;
        const minted = mintToken("enrolment");
        const { ref, secretDigest } = minted;
        const expiresAt = context.store.now() + expires_in_days * DAY_MS;
        const made = { ref, secretDigest, name, tags: given, usesMax: uses_max, expiresAt };
        const key = await withLimits(
          createEnrolmentKey(
            context.store,
            tenant,
            ownerId,
            made,
            options.enrolmentKeysPerTenantMax,
          ),
        );
        note(context, call, "key_created", {
          objectId: ref,
          detail: { kind: "enrolment", name, uses_max },
        });
        return json(201, { key: minted.text, ...enrolmentJson(key) });
      },
    }),
    route({
      ...access,
      method: "GET",
      path: "/api/enrolment-keys",
      summary: "The tenant's enrolment keys, the newest first.",
      query: z.strictObject({
        limit: z.coerce.number().int().min(1).max(LIST_MAX).default(LIST_DEFAULT),
      }),
      responses: {
        200: {
          description: "The keys, by their references.",
          schema: z.object({ enrolment_keys: z.array(enrolmentShape) }),
        },
      },
      handler: async (call) => {
        const { tenant } = unconfinedOf(call);
        const keys = await listEnrolmentKeys(context.store, tenant, { limit: call.query.limit });
        return json(200, { enrolment_keys: keys.map(enrolmentJson) });
      },
    }),
    route({
      ...access,
      method: "DELETE",
      path: "/api/enrolment-keys/:ref",
      summary: "Revokes an enrolment key for good. Devices that it enrolled stay.",
      params: enrolmentParams,
      responses: { 204: { description: "Revoked." } },
      handler: async (call) => {
        const { tenant } = unconfinedOf(call);
        const { ref } = call.params;
        const key = await revokeEnrolmentKey(context.store, tenant, ref);
        if (key === null) throw missing(context, call, ref);
        note(context, call, "key_revoked", { objectId: ref, detail: { kind: "enrolment" } });
        return empty(204);
      },
    }),
  ];
}
