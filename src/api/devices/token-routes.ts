import { z } from "zod";
import { type MintedToken, mintToken } from "../../core/token.ts";
import { empty, json } from "../reply.ts";
import { type Route, route } from "../route.ts";
import {
  type DeviceToken,
  listDeviceTokens,
  replaceDeviceTokens,
  revokeDeviceTokens,
  rotateDeviceToken,
} from "../store/index.ts";
import { type AnyCall, callerOf, missing, note } from "./caller.ts";
import { checkReach } from "./device-routes.ts";
import { withLimits } from "./errors.ts";
import { cutTokens, type DeviceParts, tokenExpiry } from "./parts.ts";
import {
  deviceParams,
  issuedShape,
  nothing,
  timeTextOrNull,
  tokenJson,
  tokenParams,
  tokenShape,
} from "./shapes.ts";

/** The routes of a device's tokens. */
export function tokenRoutes(parts: DeviceParts): Route[] {
  return [
    listRoute(parts),
    rotateRoute(parts),
    revokeAllRoute(parts),
    replaceRoute(parts),
    revokeRoute(parts),
  ];
}

function listRoute(parts: DeviceParts): Route {
  const { context } = parts;
  return route({
    method: "GET",
    path: "/api/devices/:id/tokens",
    class: "key",
    scope: "devices:read",
    summary: "The good tokens of a device by their references, the newest first.",
    params: deviceParams,
    responses: {
      200: { description: "The tokens.", schema: z.object({ tokens: z.array(tokenShape) }) },
    },
    handler: async (call) => {
      const { id } = call.params;
      checkReach(parts, call, id);
      const tokens = await listDeviceTokens(context.store, callerOf(call).tenant, id);
      if (tokens === null) throw missing(context, call, id);
      return json(200, { tokens: tokens.map(tokenJson) });
    },
  });
}

function rotateRoute(parts: DeviceParts): Route {
  return route({
    method: "POST",
    path: "/api/devices/:id/token:rotate",
    class: "key",
    scope: "devices:write",
    summary:
      "Makes a further token. The old one is good until the new one is used, or for 24 hours; the tunnel stays.",
    params: deviceParams,
    body: { kind: "json", required: false, schema: nothing },
    responses: {
      200: { description: "The new token, shown here alone.", schema: issuedShape },
    },
    handler: async (call) => {
      checkReach(parts, call, call.params.id);
      return json(200, await rotated(parts, call, call.params.id));
    },
  });
}

function revokeAllRoute(parts: DeviceParts): Route {
  const { context } = parts;
  return route({
    method: "POST",
    path: "/api/devices/:id/token:revoke",
    class: "key",
    scope: "devices:write",
    summary: "Ends all tokens of a device, and closes its tunnel.",
    params: deviceParams,
    body: { kind: "json", required: false, schema: nothing },
    responses: {
      200: { description: "What ended.", schema: z.object({ revoked: z.array(z.string()) }) },
    },
    handler: async (call) => {
      const { id } = call.params;
      checkReach(parts, call, id);
      const refs = await revokeDeviceTokens(context.store, callerOf(call).tenant, id);
      if (refs === null) throw missing(context, call, id);
      noteRevoked(parts, call, id, refs);
      await cutTokens(parts, refs);
      return json(200, { revoked: refs });
    },
  });
}

function replaceRoute(parts: DeviceParts): Route {
  const { context } = parts;
  return route({
    method: "POST",
    path: "/api/devices/:id/token:revoke-and-rotate",
    class: "key",
    scope: "devices:write",
    summary: "Ends all tokens of a device, closes its tunnel, and makes a new token.",
    params: deviceParams,
    body: { kind: "json", required: false, schema: nothing },
    responses: {
      200: {
        description: "The new token, shown here alone, and what ended.",
        schema: issuedShape.extend({ revoked: z.array(z.string()) }),
      },
    },
    handler: async (call) => {
      const { id } = call.params;
      checkReach(parts, call, id);
      const minted = mintToken("device");
      const { tenant } = callerOf(call);
      const expiresAt = tokenExpiry(parts);
      const replaced = await replaceDeviceTokens(context.store, tenant, id, minted, { expiresAt });
      if (replaced === null) throw missing(context, call, id);
      const { token, endedRefs } = replaced;
      noteRevoked(parts, call, id, endedRefs);
      noteCreated(parts, call, token);
      await cutTokens(parts, endedRefs);
      return json(200, { ...issued(parts, minted, token), revoked: endedRefs });
    },
  });
}

function revokeRoute(parts: DeviceParts): Route {
  const { context } = parts;
  return route({
    method: "DELETE",
    path: "/api/devices/:id/tokens/:ref",
    class: "key",
    scope: "devices:write",
    summary: "Ends one token of a device, and closes the tunnel that it opened.",
    params: tokenParams,
    responses: { 204: { description: "It has ended." } },
    handler: async (call) => {
      const { id, ref } = call.params;
      checkReach(parts, call, id);
      const refs = await revokeDeviceTokens(context.store, callerOf(call).tenant, id, ref);
      if (refs === null) throw missing(context, call, ref);
      noteRevoked(parts, call, id, refs);
      // Said again for one that had ended before: the last time may not have been heard.
      await cutTokens(parts, [ref]);
      return empty(204);
    },
  });
}

/**
 * Rotates a device's token and gives the answer that shows the new one.
 *
 * @param by the device's own token, where it is the device that asks
 */
export async function rotated(parts: DeviceParts, call: AnyCall, id: string, by?: string) {
  const { context } = parts;
  const minted = mintToken("device");
  const expiresAt = tokenExpiry(parts);
  const { tenant } = callerOf(call);
  const token = await withLimits(
    rotateDeviceToken(context.store, tenant, id, minted, {
      expiresAt,
      ...(by === undefined ? {} : { by }),
    }),
  );
  if (token === null) throw missing(context, call, id);
  noteCreated(parts, call, token);
  return issued(parts, minted, token);
}

function issued({ options }: DeviceParts, minted: MintedToken, token: DeviceToken) {
  return {
    device_id: token.deviceId,
    token: minted.text,
    token_ref: minted.ref,
    tunnel_url: options.tunnelUrl,
    expires_at: timeTextOrNull(token.expiresAt),
  };
}

function noteCreated({ context }: DeviceParts, call: AnyCall, token: DeviceToken): void {
  const detail = { device: token.deviceId };
  note(context, call, "authn_token_created", { objectId: token.ref, detail });
}

function noteRevoked(
  { context }: DeviceParts,
  call: AnyCall,
  device: string,
  refs: readonly string[],
): void {
  for (const ref of refs) {
    note(context, call, "authn_token_revoked", { objectId: ref, detail: { device } });
  }
}
