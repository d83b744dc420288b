import { OidcError } from "./errors.ts";
import type { IdTokenClaims } from "./id-token.ts";
import { textOrNull } from "./id-token.ts";
import type { OidcSettings } from "./settings.ts";

const TENANT_LENGTH_MAX = 255;
const SHOWN_LENGTH_MAX = 320;

/** Who signed in. The key of a person is (`issuer`, `sub`); name and e-mail are for showing alone. */
export interface Identity {
  readonly issuer: string;
  readonly sub: string;
  /** The provider's session, for its logout notices. */
  readonly sid: string | null;
  /** Value of the configured tenant claim; null where none is configured. */
  readonly tenant: string | null;
  /** Values of the configured role claim. */
  readonly roles: readonly string[];
  readonly name: string | null;
  /** Shown only: neither verified nor unique, and never a key. */
  readonly email: string | null;
  readonly authTimeMs: number | null;
  readonly acr: string | null;
  readonly amr: readonly string[];
  readonly issuedAtMs: number;
  /** `exp` of the ID token. */
  readonly idTokenExpiresAtMs: number;
  /** Where the provider limits sessions (`session_expiry`). */
  readonly sessionExpiresAtMs: number | null;
}

/** Claims by name, of the ID token or of the userinfo endpoint. */
export type Claims = Readonly<Record<string, unknown>>;

/** Whether an ID token lacks something that the userinfo endpoint may have. */
export function wantsUserinfo(claims: Claims, settings: OidcSettings): boolean {
  const wanted = [settings.tenantClaim, settings.roleClaim].filter((name) => name !== null);
  if (settings.scopes.includes("profile")) wanted.push("name");
  if (settings.scopes.includes("email")) wanted.push("email");
  return wanted.some((name) => claims[name] === undefined);
}

/**
 * Puts an identity together. Claims of the ID token, which are signed, go before those of the userinfo endpoint.
 *
 * Errors: `ERR_OIDC_NO_TENANT` where a tenant claim is configured and has no usable value: there is no default.
 * @see OpenID Connect Core 1.0, sections 5.1 and 5.7
 */
export function identityOf(
  issuer: string,
  token: IdTokenClaims,
  userinfo: Claims,
  settings: OidcSettings,
): Identity {
  const claims: Claims = { ...userinfo, ...token.all };
  const sessionExpiry = claims["session_expiry"];
  return {
    issuer,
    sub: token.sub,
    sid: token.sid,
    tenant: tenantOf(claims, settings.tenantClaim),
    roles: settings.roleClaim === null ? [] : rolesOf(own(claims, settings.roleClaim)),
    name: shown(claims["name"]) ?? shown(claims["preferred_username"]),
    email: shown(claims["email"]),
    authTimeMs: token.authTime === null ? null : token.authTime * 1_000,
    acr: token.acr,
    amr: token.amr,
    issuedAtMs: token.iat * 1_000,
    idTokenExpiresAtMs: token.exp * 1_000,
    sessionExpiresAtMs: typeof sessionExpiry === "number" ? sessionExpiry * 1_000 : null,
  };
}

function own(claims: Claims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}

function tenantOf(claims: Claims, claim: string | null): string | null {
  if (claim === null) return null;
  const tenant = textOrNull(own(claims, claim));
  const usable = tenant !== null && tenant.trim() === tenant && tenant.length <= TENANT_LENGTH_MAX;
  if (!usable || /\p{Cc}/u.test(tenant)) throw new OidcError("ERR_OIDC_NO_TENANT");
  return tenant;
}

/** An array of texts, or one text with spaces between. */
function rolesOf(value: unknown): string[] {
  if (typeof value === "string") return value.split(" ").filter((role) => role !== "");
  return Array.isArray(value) ? value.filter((role) => typeof role === "string") : [];
}

/** A text for showing: shortened, without control characters. */
function shown(value: unknown): string | null {
  const text = textOrNull(value);
  return text === null ? null : textOrNull(text.replace(/\p{Cc}/gu, "").slice(0, SHOWN_LENGTH_MAX));
}
