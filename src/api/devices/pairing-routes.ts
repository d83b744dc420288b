import { z } from "zod";
import { mintPairingCode } from "../../core/pairing-code.ts";
import { empty, json } from "../reply.ts";
import { type Route, route } from "../route.ts";
import { cancelPairingCode, createPairingCode, listPairingCodes } from "../store/index.ts";
import { makerOf, missing, note, unconfinedOf } from "./caller.ts";
import { withLimits } from "./errors.ts";
import type { DeviceParts } from "./parts.ts";
import { codeJson, codeParams, codeShape, nothing, timeText } from "./shapes.ts";

const LIST_DEFAULT = 50;
const LIST_MAX = 200;

/** The routes of pairing codes, all but their exchange. */
export function pairingRoutes({ context, options }: DeviceParts): Route[] {
  return [
    route({
      method: "POST",
      path: "/api/pairing-codes",
      class: "key",
      scope: "devices:pair",
      summary: "Makes a pairing code, for one device, which will be the caller's.",
      body: { kind: "json", required: false, schema: nothing },
      responses: {
        201: {
          description: "Made. No other answer shows the code.",
          schema: z.object({ code: z.string(), id: z.string(), expires_at: z.iso.datetime() }),
        },
      },
      handler: async (call) => {
        const { tenant, ownerId } = makerOf(call);
        const code = mintPairingCode();
        const { id, expiresAt } = await withLimits(
          createPairingCode(context.store, tenant, ownerId, code, options.pairing),
        );
        note(context, call, "pairing_created", { objectId: id });
        return json(201, { code: code.text, id, expires_at: timeText(expiresAt) });
      },
    }),
    route({
      method: "GET",
      path: "/api/pairing-codes",
      class: "key",
      scope: "devices:pair",
      summary: "The tenant's pairing codes, the newest first.",
      query: z.strictObject({
        limit: z.coerce.number().int().min(1).max(LIST_MAX).default(LIST_DEFAULT),
      }),
      responses: {
        200: {
          description: "The codes, by their beginnings.",
          schema: z.object({ pairing_codes: z.array(codeShape) }),
        },
      },
      handler: async (call) => {
        const { tenant } = unconfinedOf(call);
        const codes = await listPairingCodes(context.store, tenant, { limit: call.query.limit });
        return json(200, { pairing_codes: codes.map(codeJson) });
      },
    }),
    route({
      method: "DELETE",
      path: "/api/pairing-codes/:id",
      class: "key",
      scope: "devices:pair",
      summary: "Cancels a pairing code for good.",
      params: codeParams,
      responses: { 204: { description: "Cancelled." } },
      handler: async (call) => {
        const { tenant } = unconfinedOf(call);
        const { id } = call.params;
        const code = await cancelPairingCode(context.store, tenant, id);
        if (code === null) throw missing(context, call, id);
        note(context, call, "pairing_cancelled", { objectId: id });
        return empty(204);
      },
    }),
  ];
}
