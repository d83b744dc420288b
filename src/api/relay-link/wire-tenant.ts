import { createHash } from "node:crypto";
import type { TenantId } from "../store/index.ts";

/**
 * How a tenant is named to the relay and to devices: 22 characters of base64url. A tenant's own name may have anything
 * in it; this is short, visible ASCII, and tells nobody the name.
 */
export function wireTenant(tenant: TenantId): string {
  return createHash("sha256").update(tenant).digest("base64url").slice(0, 22);
}
