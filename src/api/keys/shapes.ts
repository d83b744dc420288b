import { z } from "zod";
import { KEY_DEVICES_MAX, KEY_RATE_MAX } from "../../core/contract.ts";
import { isTokenRef } from "../../core/token.ts";
import { ALL_SCOPES } from "../scopes.ts";
import type { ApiKey } from "../store/index.ts";
import { KEY_LIFE_MAX_MS } from "./issue-key.ts";

/** Keys on a page where the caller names no `limit`, and the most that it may ask for. */
export const KEY_PAGE_DEFAULT = 100;
export const KEY_PAGE_MAX = 1_000;

const scope = z.enum(ALL_SCOPES as [string, ...string[]]);

/** Body of `POST /api/keys`. */
export const newKeyBody = z.strictObject({
  name: z.string().regex(/^(?!\s)[^\p{Cc}]{1,100}(?<!\s)$/u),
  scopes: z.array(scope).min(1).max(ALL_SCOPES.length),
  /** Ids of any form are taken, so that one that is malformed is answered as one that is unknown. */
  devices: z.array(z.string().max(64)).min(1).max(KEY_DEVICES_MAX).optional(),
  requests_per_minute: z.number().int().min(1).max(KEY_RATE_MAX).optional(),
  /** Seconds. */
  expires_in: z
    .number()
    .int()
    .min(1)
    .max(KEY_LIFE_MAX_MS / 1_000)
    .optional(),
  expires_at: z.iso.datetime({ offset: true }).optional(),
});

export const keyParams = z.object({ ref: z.string().refine((text) => isTokenRef(text, "key")) });

export const keysQuery = z.strictObject({
  /** Of the whole tenant: an administrator's. */
  all: z.enum(["true", "false"]).optional(),
  limit: z.coerce.number().int().min(1).max(KEY_PAGE_MAX).default(KEY_PAGE_DEFAULT),
  cursor: z.string().max(64).optional(),
});

/** A key as it is shown: without its secret. */
export const shownKey = z.object({
  ref: z.string(),
  hint: z.string(),
  name: z.string(),
  scopes: z.array(z.string()),
  devices: z.array(z.string()).nullable(),
  requests_per_minute: z.number().nullable(),
  owner_id: z.string(),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  revoked_at: z.iso.datetime().nullable(),
  last_used_at: z.iso.datetime().nullable(),
  last_used_ip: z.string().nullable(),
});

export const createdKey = shownKey.extend({ key: z.string() });
export const keyPage = z.object({ keys: z.array(shownKey), next: z.string().optional() });

export function showKey(key: ApiKey): z.input<typeof shownKey> {
  return {
    ref: key.ref,
    hint: `${key.ref}_…`,
    name: key.name,
    scopes: [...key.scopes],
    devices: key.devices === null ? null : [...key.devices],
    requests_per_minute: key.requestsPerMinute,
    owner_id: key.ownerId,
    created_at: timeOf(key.createdAt),
    expires_at: timeOf(key.expiresAt),
    revoked_at: key.revokedAt === null ? null : timeOf(key.revokedAt),
    last_used_at: key.lastUsedAt === null ? null : timeOf(key.lastUsedAt),
    last_used_ip: key.lastUsedIp,
  };
}

function timeOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
