import { z } from "zod";
import { assert } from "../../core/assert.ts";
import { json } from "../reply.ts";
import { type Route, route } from "../route.ts";
import { listDeviceTokens } from "../store/index.ts";
import { type AnyCall, callerOf, missing } from "./caller.ts";
import { deviceOf } from "./device-routes.ts";
import type { DeviceParts } from "./parts.ts";
import { edgeUrlOf, issuedShape, nothing, tokenJson, tokenShape } from "./shapes.ts";
import { rotated } from "./token-routes.ts";

/** What a device may do with its own token, beside opening its tunnel. */
export function ownRoutes(parts: DeviceParts): Route[] {
  const { context, options } = parts;
  return [
    route({
      method: "GET",
      path: "/api/device",
      class: "device",
      summary: "Which device this token is of.",
      responses: {
        200: {
          description: "The device.",
          schema: z.object({
            id: z.string(),
            name: z.string(),
            tags: z.array(z.string()),
            state: z.enum(["pending", "active"]),
            token: tokenShape,
            tunnel_url: z.string(),
            edge_url: z.string(),
          }),
        },
      },
      handler: async (call) => {
        const id = ownId(call);
        const { principal, tenant } = callerOf(call);
        const device = await deviceOf(parts, call, id);
        const tokens = await listDeviceTokens(context.store, tenant, id);
        const token = tokens?.find(({ ref }) => ref === principal.ref);
        // It ended since it was looked at.
        if (token === undefined) throw missing(context, call, id);
        return json(200, {
          id,
          name: device.name,
          tags: device.tags,
          state: device.state,
          token: tokenJson(token),
          tunnel_url: options.tunnelUrl,
          edge_url: edgeUrlOf(id, options),
        });
      },
    }),
    route({
      method: "POST",
      path: "/api/device/token:rotate",
      class: "device",
      summary:
        "Gives the device a new token. This one is good until the new one opens a tunnel, or for 24 hours.",
      body: { kind: "json", required: false, schema: nothing },
      responses: {
        200: { description: "The new token, shown here alone.", schema: issuedShape },
      },
      handler: async (call) => {
        const { principal } = callerOf(call);
        return json(200, await rotated(parts, call, ownId(call), principal.ref));
      },
    }),
  ];
}

function ownId({ principal }: AnyCall): string {
  const id = principal?.deviceId;
  assert(id !== undefined, "a device's principal names the device");
  return id;
}
