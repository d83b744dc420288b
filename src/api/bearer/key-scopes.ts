import { ADMIN_SCOPES, SCOPES, type Scope } from "../scopes.ts";
import type { Role } from "../store/index.ts";

/** Whether a text is the name of a scope. */
export function isScope(text: string): text is Scope {
  return Object.hasOwn(SCOPES, text);
}

/** What of some scopes somebody of that role may have at this moment. Names that are no scopes are left out. */
export function allowedScopes(scopes: Iterable<string>, role: Role): ReadonlySet<Scope> {
  const allowed = new Set<Scope>();
  for (const scope of scopes) {
    if (isScope(scope) && (role === "admin" || !ADMIN_SCOPES.has(scope))) allowed.add(scope);
  }
  return allowed;
}
