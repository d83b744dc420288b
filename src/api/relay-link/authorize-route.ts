import { setImmediate as turn } from "node:timers/promises";
import { z } from "zod";
import { authorizeRequestSchema } from "../../core/authorize.ts";
import {
  AUTHORIZE_REQUEST_BYTES_MAX,
  type AuthorizeAnswer,
  type AuthorizeRequest,
  KEY_DEVICES_MAX,
  KEY_RATE_MAX,
  type KeyAccepted,
  type SecretCheck,
  type SecretRefused,
  type TokenAccepted,
} from "../../core/contract.ts";
import { isTokenRef } from "../../core/token.ts";
import type { ApiContext } from "../context.ts";
import { apiError } from "../errors.ts";
import { json } from "../reply.ts";
import { type Route, route } from "../route.ts";
import {
  type AuthorizedDevice,
  authorizeApiKeys,
  authorizeDeviceTokens,
  type CurrentApiKey,
  type DeviceOwner,
  deviceOwners,
  findEndedPrincipals,
  noteApiKeysUsed,
  noteDevicesSeen,
  noteTunnels,
  RECHECK_MAX,
  recheckTokens,
  STORE_RETRY_S,
  type TokenDigest,
  TUNNEL_NOTES_MAX,
  type TunnelNote,
} from "../store/index.ts";
import { wireTenant } from "./wire-tenant.ts";

/** What a key needs to call devices. */
const SCOPE = "tunnel:use";
const REFUSED: SecretRefused = { ok: false, status: 401 };
const FORBIDDEN: SecretRefused = { ok: false, status: 403 };
/** Devices that one statement notes: some 10 ms of SQLite. */
const SEEN_AT_ONCE = 200;

/**
 * `POST /internal/authorize`: who may connect and who may call, asked by a relay in batches. One statement for each
 * list that is not empty, and the longest list in pieces between which others are served.
 *
 * The database away is answered 503: the relay then goes by what it knows.
 *
 * @see docs/internal-api.md
 */
export function authorizeRoute(context: ApiContext): Route {
  return route({
    method: "POST",
    path: "/internal/authorize",
    class: "internal",
    summary: "Says which device tokens and keys are good, and whose devices are.",
    body: {
      kind: "json",
      schema: authorizeRequestSchema,
      bytesMax: AUTHORIZE_REQUEST_BYTES_MAX,
    },
    responses: { 200: { description: "As many answers as questions.", schema: z.object({}) } },
    handler: async ({ body }) => {
      try {
        return json(200, await answerOf(context, body));
      } catch (error) {
        context.logger.error({ err: error }, "the relay's questions cannot be answered");
        throw apiError("unavailable", { retryAfter: STORE_RETRY_S, cause: error });
      }
    },
  });
}

async function answerOf(context: ApiContext, asked: AuthorizeRequest): Promise<AuthorizeAnswer> {
  const { store } = context;
  const tokens = await authorizeDeviceTokens(store, asked.tokens.map(digestOf));
  const keys = await authorizeApiKeys(store, asked.keys.map(digestOf));
  const owners = await deviceOwners(store, asked.devices);
  const callers = keys.filter((key) => key?.scopes.includes(SCOPE) === true);
  if (callers.length > 0) {
    // The relay asks once a minute about keys in use.
    await noted(context, noteApiKeysUsed(store, callers as CurrentApiKey[]));
  }
  return {
    tokens: tokens.map(tokenAnswer),
    keys: keys.map(keyAnswer),
    devices: owners.map((owner) => (owner === null ? null : { tenant_id: reachableBy(owner) })),
    revoked: await recheck(context, asked.recheck),
  };
}

/** Which tokens of live tunnels, and which keys whose requests run, are good no longer. */
async function recheck(context: ApiContext, refs: readonly string[]): Promise<string[]> {
  const isKey = (ref: string): boolean => isTokenRef(ref, "key");
  const tokens = await recheckLive(
    context,
    refs.filter((ref) => !isKey(ref)),
  );
  return [...tokens, ...(await recheckKeys(context, refs.filter(isKey)))];
}

async function recheckKeys({ store }: ApiContext, refs: readonly string[]): Promise<string[]> {
  const revoked: string[] = [];
  for (let start = 0; start < refs.length; start += RECHECK_MAX) {
    await turn();
    const keys = refs.slice(start, start + RECHECK_MAX);
    revoked.push(...(await findEndedPrincipals(store, { sessions: [], keys })));
  }
  return revoked;
}

async function recheckLive(context: ApiContext, refs: readonly string[]): Promise<string[]> {
  const revoked: string[] = [];
  for (let start = 0; start < refs.length; start += RECHECK_MAX) {
    if (start > 0) await turn();
    const piece = refs.slice(start, start + RECHECK_MAX);
    const { ended, pending, unseen } = await recheckTokens(context.store, piece);
    revoked.push(...ended);
    await seen(context, unseen);
    if (pending.length > 0) await activate(context, pending);
  }
  return revoked;
}

/** A live tunnel proves that its device is there, should its relay be killed. */
async function seen(context: ApiContext, refs: readonly string[]): Promise<void> {
  for (let start = 0; start < refs.length; start += SEEN_AT_ONCE) {
    await turn();
    await noted(context, noteDevicesSeen(context.store, refs.slice(start, start + SEEN_AT_ONCE)));
  }
}

/** Waits for a note of a use. One that cannot be written, on a full disk say, is no reason to let nobody in. */
async function noted({ logger }: ApiContext, note: Promise<void>): Promise<void> {
  await note.catch((error: unknown) => logger.warn({ err: error }, "a use cannot be noted"));
}

/** A live tunnel proves that its device has connected, should the report of that be lost. */
async function activate({ store }: ApiContext, refs: readonly string[]): Promise<void> {
  const at = store.now();
  for (let start = 0; start < refs.length; start += TUNNEL_NOTES_MAX) {
    const notes = refs
      .slice(start, start + TUNNEL_NOTES_MAX)
      .map((ref): TunnelNote => ({ kind: "seen", ref, at }));
    await noteTunnels(store, notes);
  }
}

/** No tenant is named so on the wire: no key reaches a device of it. */
const UNAPPROVED = "unapproved";

/** Whose keys reach a device. */
function reachableBy({ tenant, awaitsApproval }: DeviceOwner): string {
  return awaitsApproval ? UNAPPROVED : wireTenant(tenant);
}

function digestOf({ ref, digest }: SecretCheck): TokenDigest {
  return { ref, secretDigest: digest };
}

function tokenAnswer(device: AuthorizedDevice | null): TokenAccepted | SecretRefused {
  if (device === null) return REFUSED;
  return {
    ok: true,
    device_id: device.deviceId,
    user_id: device.ownerId,
    tenant_id: reachableBy(device),
    ...expiry(device.expiresAt),
  };
}

function keyAnswer(key: CurrentApiKey | null): KeyAccepted | SecretRefused {
  if (key === null) return REFUSED;
  if (!key.scopes.includes(SCOPE)) return FORBIDDEN;
  return {
    ok: true,
    user_id: key.ownerId,
    tenant_id: wireTenant(key.tenant),
    // More than the relay takes would make the whole answer useless to it.
    ...(key.devices === null ? {} : { devices: key.devices.slice(0, KEY_DEVICES_MAX) }),
    ...(key.requestsPerMinute === null
      ? {}
      : { requests_per_minute: Math.min(key.requestsPerMinute, KEY_RATE_MAX) }),
    ...expiry(key.expiresAt),
  };
}

function expiry(atMs: number | null): { readonly expires_at?: string } {
  return atMs === null ? {} : { expires_at: new Date(atMs).toISOString() };
}
