import { z } from "zod";
import { isDeviceId, mintToken } from "../../core/token.ts";
import { empty, json } from "../reply.ts";
import { type Route, route } from "../route.ts";
import {
  approveDevice,
  changeDevice,
  createDeviceWithToken,
  type Device,
  deleteDevice,
  getDevice,
  listDeviceTokens,
} from "../store/index.ts";
import { type AnyCall, callerOf, makerOf, missing, note } from "./caller.ts";
import { pageOfDevices } from "./device-listing.ts";
import { deviceError } from "./errors.ts";
import { isNoSession } from "./live-sessions.ts";
import { cutTokens, type DeviceParts, tokenExpiry } from "./parts.ts";
import {
  claim,
  deviceJson,
  deviceName,
  deviceParams,
  deviceShape,
  issuedShape,
  nothing,
  searched,
  tags,
  timeTextOrNull,
} from "./shapes.ts";

const PAGE_DEFAULT = 50;
const PAGE_MAX = 1_000;
/** The relay's own limit of a drain, in seconds. */
const DRAIN_MAX = 300;

/** The routes by which people and their programs manage devices. */
export function managingRoutes(parts: DeviceParts): Route[] {
  return [
    listRoute(parts),
    createRoute(parts),
    readRoute(parts),
    changeRoute(parts),
    deleteRoute(parts),
    approveRoute(parts),
    disconnectRoute(parts),
  ];
}

function listRoute(parts: DeviceParts): Route {
  return route({
    method: "GET",
    path: "/api/devices",
    class: "key",
    scope: "devices:read",
    summary: "Lists the tenant's devices, in the order of their ids.",
    query: z.strictObject({
      limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT),
      cursor: z.string().refine(isDeviceId).optional(),
      tag: searched.optional(),
      state: z.enum(["pending", "active"]).optional(),
      connected: z.enum(["true", "false"]).optional(),
      name: searched.optional().describe("A part of the name; the case of a to z does not count."),
    }),
    responses: {
      200: {
        description:
          "A page. It may be short and yet not the last: that is the one without `next`.",
        schema: z.object({ devices: z.array(deviceShape), next: z.string().optional() }),
      },
    },
    handler: async (call) => {
      const { principal, tenant } = callerOf(call);
      const { limit, cursor, tag, state, connected, name } = call.query;
      const page = await pageOfDevices(
        parts,
        tenant,
        {
          limit,
          ...(cursor === undefined ? {} : { after: cursor }),
          ...(tag === undefined ? {} : { tag }),
          ...(state === undefined ? {} : { state }),
          ...(name === undefined ? {} : { name }),
          ...(principal.devices === undefined ? {} : { ids: [...principal.devices] }),
        },
        connected === undefined ? undefined : connected === "true",
      );
      return json(200, {
        devices: page.devices.map(({ device, live }) => deviceJson(device, live, parts.options)),
        ...(page.next === undefined ? {} : { next: page.next }),
      });
    },
  });
}

function createRoute(parts: DeviceParts): Route {
  const { context, options } = parts;
  return route({
    method: "POST",
    path: "/api/devices",
    class: "key",
    scope: "devices:write",
    summary: "Makes a device and its first token, for one that cannot pair.",
    body: {
      kind: "json",
      schema: z.strictObject({
        name: deviceName,
        tags: tags.default([]),
        model: claim.optional(),
        serial: claim.optional(),
      }),
    },
    responses: {
      201: {
        description: "Made. No other answer shows the token.",
        schema: issuedShape.extend({ device: deviceShape }),
      },
    },
    handler: async (call) => {
      const { tenant, ownerId } = makerOf(call);
      const { name, tags: given, model = null, serial = null } = call.body;
      const token = mintToken("device");
      const expiresAt = tokenExpiry(parts);
      const made = { name, tags: given, model, serial };
      const device = await createDeviceWithToken(context.store, tenant, ownerId, made, token, {
        expiresAt,
      });
      note(context, call, "device_created", { objectId: device.id, detail: { name } });
      note(context, call, "authn_token_created", {
        objectId: token.ref,
        detail: { device: device.id },
      });
      return json(
        201,
        {
          device_id: device.id,
          token: token.text,
          token_ref: token.ref,
          tunnel_url: options.tunnelUrl,
          expires_at: timeTextOrNull(expiresAt),
          device: deviceJson(device, false, options),
        },
        { location: `/api/devices/${device.id}` },
      );
    },
  });
}

function readRoute(parts: DeviceParts): Route {
  return route({
    method: "GET",
    path: "/api/devices/:id",
    class: "key",
    scope: "devices:read",
    summary: "A device, and what the relay says of it now.",
    params: deviceParams,
    responses: { 200: { description: "The device.", schema: deviceShape } },
    handler: async (call) => {
      const device = await deviceOf(parts, call, call.params.id);
      return json(200, await withLive(parts, device));
    },
  });
}

function changeRoute(parts: DeviceParts): Route {
  const { context } = parts;
  return route({
    method: "PATCH",
    path: "/api/devices/:id",
    class: "key",
    scope: "devices:write",
    summary: "Renames or tags a device; what is left out stays.",
    params: deviceParams,
    body: {
      kind: "json",
      schema: z.strictObject({ name: deviceName.optional(), tags: tags.optional() }),
    },
    responses: { 200: { description: "As it is now.", schema: deviceShape } },
    handler: async (call) => {
      const { tenant } = callerOf(call);
      const { id } = call.params;
      checkReach(parts, call, id);
      const { name, tags: given } = call.body;
      const device = await changeDevice(context.store, tenant, id, {
        ...(name === undefined ? {} : { name }),
        ...(given === undefined ? {} : { tags: given }),
      });
      if (device === null) throw missing(context, call, id);
      const detail = { name: device.name, tags: device.tags.join(",") };
      note(context, call, "device_changed", { objectId: id, detail });
      return json(200, await withLive(parts, device));
    },
  });
}

function deleteRoute(parts: DeviceParts): Route {
  const { context } = parts;
  return route({
    method: "DELETE",
    path: "/api/devices/:id",
    class: "key",
    scope: "devices:write",
    summary: "Deletes a device with its tokens, and closes its tunnel.",
    params: deviceParams,
    responses: { 204: { description: "Deleted." } },
    handler: async (call) => {
      const { tenant } = callerOf(call);
      const { id } = call.params;
      checkReach(parts, call, id);
      const removed = await deleteDevice(context.store, tenant, id);
      if (removed === null) throw missing(context, call, id);
      note(context, call, "device_deleted", { objectId: id, detail: { name: removed.name } });
      await cutTokens(parts, removed.tokenRefs, [id]);
      return empty(204);
    },
  });
}

function approveRoute(parts: DeviceParts): Route {
  const { context } = parts;
  return route({
    method: "POST",
    path: "/api/devices/:id/approve",
    class: "key",
    scope: "devices:write",
    summary: "Lets callers reach a device that waits for that. Who does not want it deletes it.",
    params: deviceParams,
    body: { kind: "json", required: false, schema: nothing },
    responses: { 200: { description: "The device.", schema: deviceShape } },
    handler: async (call) => {
      const { tenant } = callerOf(call);
      const { id } = call.params;
      checkReach(parts, call, id);
      const device = await approveDevice(context.store, tenant, id);
      if (device === null) throw missing(context, call, id);
      note(context, call, "device_approved", { objectId: id, detail: { name: device.name } });
      const tokens = (await listDeviceTokens(context.store, tenant, id)) ?? [];
      await context.changes.announce({ changed: tokens.map(({ ref }) => ref), devices: [id] });
      return json(200, await withLive(parts, device));
    },
  });
}

function disconnectRoute(parts: DeviceParts): Route {
  const { context, live } = parts;
  return route({
    method: "POST",
    path: "/api/devices/:id/disconnect",
    class: "key",
    scope: "devices:write",
    summary: "Closes a device's tunnel. Its token stays good: an agent dials again.",
    params: deviceParams,
    body: {
      kind: "json",
      required: false,
      schema: z.strictObject({ drain_s: z.number().int().min(0).max(DRAIN_MAX).optional() }),
    },
    responses: {
      200: {
        description: "Whether there was a tunnel. With `drain_s` running requests may finish.",
        schema: z.object({ disconnected: z.boolean() }),
      },
    },
    handler: async (call) => {
      const { tenant } = callerOf(call);
      const { id } = call.params;
      checkReach(parts, call, id);
      const tokens = await listDeviceTokens(context.store, tenant, id);
      if (tokens === null) throw missing(context, call, id);
      const drainS = call.body?.drain_s;
      let disconnected = false;
      for (const { ref } of tokens) {
        try {
          await context.relay.close(ref, drainS === undefined ? {} : { drainS });
          disconnected = true;
        } catch (error) {
          if (isNoSession(error)) continue;
          throw deviceError("relay_unavailable", { retryAfter: 5, cause: error });
        }
      }
      if (disconnected) note(context, call, "device_disconnected", { objectId: id });
      live.forget();
      return json(200, { disconnected });
    },
  });
}

/** A device of the caller's tenant that the caller may reach. @throws ApiError `not_found` */
export async function deviceOf(parts: DeviceParts, call: AnyCall, id: string): Promise<Device> {
  const { context } = parts;
  const { tenant } = callerOf(call);
  checkReach(parts, call, id);
  const device = await getDevice(context.store, tenant, id);
  if (device === null) throw missing(context, call, id);
  return device;
}

/** A key that is held to some devices knows no others. @throws ApiError `not_found` */
export function checkReach({ context }: DeviceParts, call: AnyCall, id: string): void {
  const { devices } = callerOf(call).principal;
  if (devices !== undefined && !devices.has(id)) throw missing(context, call, id);
}

async function withLive({ context, options, live }: DeviceParts, device: Device) {
  const tokens = (await listDeviceTokens(context.store, device.tenant, device.id)) ?? [];
  return deviceJson(device, await live.ofTokens(tokens.map(({ ref }) => ref)), options);
}
