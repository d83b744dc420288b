import { createHash } from "node:crypto";
import type { Identity } from "../oidc/index.ts";
import { type Role, type TenantId, tenantId } from "../store/index.ts";

/** Where somebody belongs by what the provider says. */
export interface Membership {
  readonly tenant: TenantId;
  /** Absent where the provider does not tell roles: one that was given by hand stays. */
  readonly role?: Role;
}

/**
 * Without a tenant claim everybody is a tenant of their own, and its administrator. With one, the claim names the tenant
 * and the role claim, where there is one, says who administers it.
 *
 * @param adminRole value of the role claim that makes an administrator
 * @param hasRoleClaim whether a role claim is configured
 */
export function membershipOf(
  { issuer, sub, tenant, roles }: Identity,
  hasRoleClaim: boolean,
  adminRole: string,
): Membership {
  if (tenant === null) {
    const digest = createHash("sha256").update(`${issuer}\0${sub}`).digest("base64url");
    return { tenant: tenantId(`u:${digest}`), role: "admin" };
  }
  const member = { tenant: tenantId(`t:${tenant}`) };
  if (!hasRoleClaim) return member;
  return { ...member, role: roles.includes(adminRole) ? "admin" : "member" };
}
