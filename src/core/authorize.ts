import { z } from "zod";
import {
  AUTHORIZE_CHECKS_MAX,
  AUTHORIZE_RECHECK_MAX,
  type AuthorizeAnswer,
  type AuthorizeRequest,
  CHANGES_MAX,
  type CredentialChanges,
  KEY_DEVICES_MAX,
  KEY_RATE_MAX,
} from "./contract.ts";
import { isDeviceId, isSecretDigest, isTokenRef, type TokenKind } from "./token.ts";

/**
 * Reading the bodies of `POST /internal/authorize` and `POST /internal/changes`. Both ends check what the other sent;
 * fields that they do not know are left out, so that one of them may be newer.
 */

const ref = (kind?: TokenKind) => z.string().refine((text) => isTokenRef(text, kind));
/** What a relay re-checks: tokens of live tunnels, and keys whose requests run. */
const recheckable = z
  .string()
  .refine((text) => isTokenRef(text, "device") || isTokenRef(text, "key"));
const deviceId = z.string().refine(isDeviceId);
/** An id of a user or tenant: short and visible, since it stands in logs and listings. */
const ownerId = z.string().regex(/^[!-~]{1,200}$/);
const expiresAt = z.iso.datetime({ offset: true }).optional();
const digest = z.string().refine(isSecretDigest);

/** The body of an authorize call, for a router that parses JSON itself. */
export const authorizeRequestSchema = z
  .object({
    tokens: z.array(z.object({ ref: ref("device"), digest })),
    keys: z.array(z.object({ ref: ref("key"), digest })),
    devices: z.array(deviceId),
    recheck: z.array(recheckable).max(AUTHORIZE_RECHECK_MAX),
  })
  .refine(
    ({ tokens, keys, devices }) =>
      tokens.length + keys.length + devices.length <= AUTHORIZE_CHECKS_MAX,
  );

const refused = z.object({
  ok: z.literal(false),
  status: z.literal([401, 403, 429]),
  retry_after: z.number().int().min(0).max(86_400).optional(),
});
const answer = z.object({
  tokens: z.array(
    z.discriminatedUnion("ok", [
      z.object({
        ok: z.literal(true),
        device_id: deviceId,
        user_id: ownerId,
        tenant_id: ownerId,
        expires_at: expiresAt,
      }),
      refused,
    ]),
  ),
  keys: z.array(
    z.discriminatedUnion("ok", [
      z.object({
        ok: z.literal(true),
        user_id: ownerId,
        tenant_id: ownerId,
        devices: z.array(deviceId).max(KEY_DEVICES_MAX).optional(),
        requests_per_minute: z.number().int().min(1).max(KEY_RATE_MAX).optional(),
        expires_at: expiresAt,
      }),
      refused,
    ]),
  ),
  devices: z.array(z.object({ tenant_id: ownerId }).nullable()),
  revoked: z.array(recheckable).max(AUTHORIZE_RECHECK_MAX),
});

const changes = z
  .object({
    revoked: z.array(ref()).default([]),
    changed: z.array(ref()).default([]),
    devices: z.array(deviceId).default([]),
  })
  .refine((lists) => {
    const { revoked, changed, devices } = lists;
    return revoked.length + changed.length + devices.length <= CHANGES_MAX;
  });

/** Reads the body of an authorize call, as the API server gets it. Null where it is not one. */
export function parseAuthorizeRequest(text: string): AuthorizeRequest | null {
  return parsed(authorizeRequestSchema, text);
}

/**
 * Reads the answer to `asked`, as the relay gets it. Null where it is not one: a list that has another length than
 * that of the questions, a reference that was not asked about.
 */
export function parseAuthorizeAnswer(
  text: string,
  asked: AuthorizeRequest,
): AuthorizeAnswer | null {
  const read = parsed(answer, text);
  if (read === null) return null;
  const rechecked = new Set(asked.recheck);
  const fits =
    read.tokens.length === asked.tokens.length &&
    read.keys.length === asked.keys.length &&
    read.devices.length === asked.devices.length &&
    read.revoked.every((revoked) => rechecked.has(revoked));
  return fits ? read : null;
}

/** Reads the body of `POST /internal/changes`; lists that are absent are empty. Null where it is not one. */
export function parseCredentialChanges(text: string): CredentialChanges | null {
  return parsed(changes, text);
}

function parsed<T>(schema: z.ZodType<T>, text: string): T | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const result = schema.safeParse(value);
  return result.success ? result.data : null;
}
