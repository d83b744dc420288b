import type { CustomFetch } from "openid-client";
import { OidcError } from "./errors.ts";

/**
 * Wraps a fetch for openid-client: a JSON object of status 200 that lacks one of these texts is the provider's fault,
 * `ERR_OIDC_IDP_RESPONSE`. The library has one code for that and for an ID token that breaks the rules, and only the
 * latter means that somebody may be attacking.
 */
export function requireTexts(fetch: CustomFetch, names: readonly string[]): CustomFetch {
  return async (url, options) => {
    const response = await fetch(url, options);
    if (response.status !== 200) return response;
    const body: unknown = await response
      .clone()
      .json()
      .catch(() => null);
    for (const name of names) {
      if (typeof field(body, name) !== "string") {
        throw new OidcError("ERR_OIDC_IDP_RESPONSE", `${name}_missing`);
      }
    }
    return response;
  };
}

function field(body: unknown, name: string): unknown {
  if (typeof body !== "object" || body === null || !Object.hasOwn(body, name)) return undefined;
  return (body as Record<string, unknown>)[name];
}
