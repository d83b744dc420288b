/**
 * What keys and machine clients may be allowed. A person's session needs none of them; where a scope is an
 * administrator's, the route wants that role as well, so that a key loses it together with its owner.
 */
export const SCOPES = {
  "devices:read": "List devices and read about them.",
  "devices:write":
    "Create, change, disconnect and delete devices, and replace or revoke their tokens.",
  "devices:pair": "Create, list and cancel pairing codes.",
  "tunnel:use": "Call the services of devices, at the edge and through the API.",
  "keys:read": "List API keys and read about them; nothing shows a secret.",
  "enrolment:write": "Create, list and revoke enrolment keys. An administrator's.",
  "audit:read": "Read the audit log. An administrator's.",
} as const satisfies Record<string, string>;

export type Scope = keyof typeof SCOPES;

/** Scopes that are worth nothing unless the owner is an administrator of the tenant at the time of the request. */
export const ADMIN_SCOPES: ReadonlySet<Scope> = new Set(["enrolment:write", "audit:read"]);

/** All scopes, in the order of the table. */
export const ALL_SCOPES = Object.keys(SCOPES) as readonly Scope[];
