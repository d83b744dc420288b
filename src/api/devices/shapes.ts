import { z } from "zod";
import type { SessionSummary } from "../../core/contract.ts";
import { isDeviceId, isTokenRef } from "../../core/token.ts";
import type { Device, DeviceToken, EnrolmentKey, PairingCode } from "../store/index.ts";
import type { DeviceOptions } from "./options.ts";

/** The JSON of devices and what makes them: schemas of bodies and answers, and the answers themselves. */

/** Text of people and devices: something, without control characters and halves of characters. */
function words(lengthMax: number) {
  return z
    .string()
    .trim()
    .min(1)
    .max(lengthMax)
    .regex(/^[^\p{Cc}\p{Cs}]*$/u);
}

export const deviceName = words(100);
const tag = words(64);
export const tags = z
  .array(tag)
  .max(32)
  .transform((list) => [...new Set(list)]);
/** Model and serial number, as a device gives them. */
export const claim = words(200);
/** A part of a name or a tag, in a query. */
export const searched = words(100);

export const deviceParams = z.object({ id: z.string().refine(isDeviceId) });
export const tokenParams = deviceParams.extend({
  ref: z.string().refine((text) => isTokenRef(text, "device")),
});
export const codeParams = z.object({ id: z.string().regex(/^[0-9a-f]{24}$/) });
export const enrolmentParams = z.object({
  ref: z.string().refine((text) => isTokenRef(text, "enrolment")),
});

/** A body that says nothing, but must not say anything else either. */
export const nothing = z.strictObject({});

const time = z.iso.datetime();
const timeOrNull = time.nullable();

export const deviceShape = z.object({
  id: z.string(),
  name: z.string(),
  tags: z.array(z.string()),
  model: z.string().nullable(),
  serial: z.string().nullable(),
  owner_id: z.string(),
  state: z.enum(["pending", "active"]),
  approved: z.boolean().describe("Without it nobody may call the device."),
  created_at: time,
  activate_by: timeOrNull.describe("A pending device that has not connected by then is removed."),
  first_connected_at: timeOrNull,
  connected: z.boolean().nullable().describe("Null where the relay cannot be asked."),
  connected_at: timeOrNull,
  last_seen_at: timeOrNull,
  last_close_reason: z.string().nullable(),
  address: z.string().nullable().describe("From which it is, or was last, connected."),
  agent_version: z.string().nullable(),
  edge_url: z.string(),
});

export const tokenShape = z.object({
  ref: z.string(),
  created_at: time,
  expires_at: timeOrNull,
  good_until: timeOrNull.describe("Set when the token was rotated: it ends then, or earlier."),
  last_used_at: timeOrNull,
});

/** The answer that issues a token: the only one that ever shows it. */
export const issuedShape = z.object({
  device_id: z.string(),
  token: z.string(),
  token_ref: z.string(),
  tunnel_url: z.string(),
  expires_at: timeOrNull,
});

export const codeShape = z.object({
  id: z.string(),
  prefix: z.string().describe("The beginning of the code."),
  state: z.enum(["unused", "used", "cancelled", "expired"]),
  creator_id: z.string(),
  created_at: time,
  expires_at: time,
  used_at: timeOrNull,
  device_id: z.string().nullable(),
});

export const enrolmentShape = z.object({
  ref: z.string(),
  name: z.string(),
  tags: z.array(z.string()),
  creator_id: z.string(),
  uses: z.number().int(),
  uses_max: z.number().int(),
  created_at: time,
  expires_at: time,
  revoked_at: timeOrNull,
});

/** What the relay says of a device's tunnel: a session, none (false), or nothing (null). */
export type LiveState = SessionSummary | false | null;

/** A device as it is answered. */
export function deviceJson(device: Device, live: LiveState, options: DeviceOptions) {
  const session = live === false ? null : live;
  const address = session?.remote_addr ?? device.lastRemoteAddr;
  return {
    id: device.id,
    name: device.name,
    tags: device.tags,
    model: device.model,
    serial: device.serial,
    owner_id: device.ownerId,
    state: device.state,
    approved: device.awaitsApproval === 0,
    created_at: timeText(device.createdAt),
    activate_by: timeTextOrNull(device.activateBy),
    first_connected_at: timeTextOrNull(device.firstConnectedAt),
    connected: live === null ? null : live !== false,
    connected_at: session?.connected_at ?? null,
    last_seen_at: session?.last_heartbeat ?? timeTextOrNull(device.lastSeenAt),
    last_close_reason: device.lastCloseReason,
    address: address === null ? null : withoutPort(address),
    agent_version: device.agentVersion,
    edge_url: edgeUrlOf(device.id, options),
  };
}

export function tokenJson(token: DeviceToken) {
  return {
    ref: token.ref,
    created_at: timeText(token.createdAt),
    expires_at: timeTextOrNull(token.expiresAt),
    good_until: timeTextOrNull(token.goodUntil),
    last_used_at: timeTextOrNull(token.lastUsedAt),
  };
}

export function codeJson(code: PairingCode) {
  return {
    id: code.id,
    prefix: code.prefix,
    state: code.state,
    creator_id: code.creatorId,
    created_at: timeText(code.createdAt),
    expires_at: timeText(code.expiresAt),
    used_at: timeTextOrNull(code.usedAt),
    device_id: code.deviceId,
  };
}

export function enrolmentJson(key: EnrolmentKey) {
  return {
    ref: key.ref,
    name: key.name,
    tags: key.tags,
    creator_id: key.creatorId,
    uses: key.uses,
    uses_max: key.usesMax,
    created_at: timeText(key.createdAt),
    expires_at: timeText(key.expiresAt),
    revoked_at: timeTextOrNull(key.revokedAt),
  };
}

/** Where a device's service is called. */
export function edgeUrlOf(id: string, { edgeUrl, edgeDomain }: DeviceOptions): string {
  if (edgeDomain === null) return `${edgeUrl.replace(/\/+$/, "")}/d/${id}/`;
  const { protocol, port } = new URL(edgeUrl);
  return `${protocol}//${id}.${edgeDomain}${port === "" ? "" : `:${port}`}/`;
}

/** RFC 3339 in UTC. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

/** The same for a time that there may not be. */
export function timeTextOrNull(ms: number | null): string | null {
  return ms === null ? null : timeText(ms);
}

/** `ip:port` or `[ip]:port` without its port; the relay knows none. */
function withoutPort(address: string): string {
  const match = /^\[(.+)\]:\d+$/.exec(address) ?? /^([^:]+):\d+$/.exec(address);
  return match?.[1] ?? address;
}
