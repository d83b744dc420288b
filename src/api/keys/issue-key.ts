import { isDeviceId, mintToken } from "../../core/token.ts";
import { allowedScopes } from "../bearer/index.ts";
import type { ApiContext } from "../context.ts";
import { apiError } from "../errors.ts";
import type { Asker } from "../ports.ts";
import type { Scope } from "../scopes.ts";
import {
  type ApiKey,
  createApiKey,
  findDeviceIds,
  type Role,
  StoreLimitError,
  type TenantId,
} from "../store/index.ts";
import { keyError } from "./errors.ts";

export const KEY_LIFE_DEFAULT_MS = 90 * 24 * 60 * 60_000;
export const KEY_LIFE_MAX_MS = 366 * 24 * 60 * 60_000;

/** Who a key is for. Comes from the session behind the request, and from nothing that the request says. */
export interface KeyOwner {
  readonly tenant: TenantId;
  readonly userId: string;
  readonly role: Role;
  /** Of the login session, for the audit log. */
  readonly sessionRef: string;
}

/** What a key is to be. */
export interface KeyWish {
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Devices that it is held to; null for all of the tenant. */
  readonly devices: readonly string[] | null;
  readonly requestsPerMinute: number | null;
  /** Milliseconds since 1970, at most {@link KEY_LIFE_MAX_MS} ahead. */
  readonly expiresAtMs: number;
}

/** How a key was asked for: a page of the API's, or `hawser login` and `hawser keys create`. For the audit log. */
export type KeyWay = "keys" | "cli_login";

/** A key that was just made. */
export interface IssuedKey {
  readonly key: ApiKey;
  /** The key itself, which is shown now and never again. */
  readonly text: string;
}

/**
 * Makes a key for a person, and tells the audit log.
 *
 * @throws ApiError `insufficient_role` for scopes of an administrator's, `not_found` where one of the devices is none of
 *   the tenant, whatever else it is, `keys_per_user`
 */
export async function issueKey(
  { store, audit }: ApiContext,
  owner: KeyOwner,
  wish: KeyWish,
  asker: Asker,
  by: KeyWay = "keys",
): Promise<IssuedKey> {
  const scopes = allowedScopes(wish.scopes, owner.role);
  if (wish.scopes.some((scope) => !scopes.has(scope))) {
    throw apiError("insufficient_role", { detail: "These scopes are an administrator's." });
  }
  const devices = wish.devices === null ? null : [...new Set(wish.devices)];
  if (devices !== null) {
    const known = await findDeviceIds(store, owner.tenant, devices.filter(isDeviceId));
    if (known.size < devices.length) throw apiError("not_found");
  }
  const { name, requestsPerMinute, expiresAtMs: expiresAt } = wish;
  const { ref, secretDigest, text } = mintToken("key");
  const made = { ref, secretDigest, name, scopes: [...scopes], devices, requestsPerMinute };
  try {
    const key = await createApiKey(store, owner.tenant, owner.userId, { ...made, expiresAt });
    audit.record({
      event: "key_created",
      tenant: owner.tenant,
      asker,
      actor: owner.userId,
      sessionRef: owner.sessionRef,
      objectId: ref,
      detail: {
        by,
        scopes: key.scopes.join(" "),
        expires_at: new Date(expiresAt).toISOString(),
        devices: devices === null ? "all" : devices.length,
      },
    });
    return { key, text };
  } catch (error) {
    throw error instanceof StoreLimitError ? keyError("keys_per_user") : error;
  }
}
