import { assert } from "../../core/assert.ts";
import { type ApiContext, type AuditEntry, actorOf } from "../context.ts";
import { type ApiError, apiError } from "../errors.ts";
import type { Asker, Principal } from "../ports.ts";
import type { Call } from "../route.ts";
import { type TenantId, tenantId } from "../store/index.ts";
import { deviceError } from "./errors.ts";

/** A call of whatever shape. */
export type AnyCall = Call<unknown, unknown, unknown>;

/**
 * The caller, where it may see what is not of one device.
 *
 * @throws ApiError `confined_key` for a key that is held to some devices
 */
export function unconfinedOf(call: AnyCall): Caller {
  const caller = callerOf(call);
  if (caller.principal.devices !== undefined) throw deviceError("confined_key");
  return caller;
}

/** Who calls, as far as devices are concerned. */
export interface Caller {
  readonly principal: Principal;
  /** The only tenant that the call may touch. */
  readonly tenant: TenantId;
}

/** The caller of a guarded route. */
export function callerOf({ principal }: AnyCall): Caller {
  assert(principal !== null, "a guarded route has a caller");
  return { principal, tenant: tenantId(principal.tenantId) };
}

/** A caller who may make devices or what makes them, and the person who will own them. */
export interface Maker extends Caller {
  readonly ownerId: string;
}

/**
 * The caller, where it may make devices.
 *
 * @throws ApiError `owner_needed` for a machine client, `confined_key` for a key that is held to some devices
 */
export function makerOf(call: AnyCall): Maker {
  const caller = unconfinedOf(call);
  const { kind, userId } = caller.principal;
  if (kind === "service") throw deviceError("owner_needed");
  return { ...caller, ownerId: userId };
}

/** The part of a call that tells how it reached us. */
export function askerOf({ requestId, address, userAgent }: Asker): Asker {
  return { requestId, address, userAgent };
}

/** Notes in the audit log what a caller did. */
export function note(
  context: ApiContext,
  call: AnyCall,
  event: string,
  more: Pick<AuditEntry, "objectId" | "detail">,
): void {
  const { principal, tenant } = callerOf(call);
  const sessionRef = principal.kind === "session" ? principal.ref : null;
  const actor = actorOf(principal);
  context.audit.record({ event, tenant, asker: askerOf(call), actor, sessionRef, ...more });
}

/**
 * 404 for an id that the caller's tenant does not have, or that the caller's key is not held to. Whether it exists
 * elsewhere is not even looked at, so that the answer, the time it takes and the event are the same.
 */
export function missing(context: ApiContext, call: AnyCall, objectId: string): ApiError {
  note(context, call, "malicious_direct_reference", { objectId });
  return apiError("not_found");
}
