import { storeError } from "./errors.ts";

declare const tenantBrand: unique symbol;

/**
 * A tenant, taken from an authenticated principal and from nothing else. There is no default one, and no function of
 * the store that concerns a tenant's objects can be called without it.
 */
export type TenantId = string & { readonly [tenantBrand]: true };

const TENANT_LENGTH_MAX = 512;

/**
 * Makes a tenant of what an identity provider or a registry row says.
 *
 * @throws AppError `ERR_STORE_TENANT_INVALID` where the text is empty, too long or has control characters
 */
export function tenantId(text: string): TenantId {
  const tenant = text as TenantId;
  return scoped(tenant);
}

/** The tenant as a value for a query. Throws as {@link tenantId} does, should a cast have got round it. */
export function scoped(tenant: TenantId): TenantId {
  if (
    typeof tenant !== "string" ||
    tenant.length > TENANT_LENGTH_MAX ||
    !/^\P{Cc}+$/u.test(tenant)
  ) {
    throw storeError("ERR_STORE_TENANT_INVALID");
  }
  return tenant;
}
