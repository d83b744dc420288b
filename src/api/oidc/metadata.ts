import type { ServerMetadata } from "openid-client";
import { OidcError } from "./errors.ts";
import { isLoopback } from "./options.ts";

/** What a provider is asked for: signing people in, the keys of its access tokens, or a token for this server itself. */
export type ProviderPurpose = "sign-in" | "access-tokens" | "service-tokens";

/** What the metadata of a provider must hold. */
export interface MetadataRules {
  readonly issuer: string;
  readonly purpose: ProviderPurpose;
  readonly algs: readonly string[];
  readonly allowInsecure: boolean;
  readonly assumeS256: boolean;
}

/** Metadata that was checked. */
export interface ProviderMetadata {
  readonly server: ServerMetadata;
  /** As the metadata spells it: what `iss` must be equal to. */
  readonly issuer: string;
  readonly jwksUri: string;
  /** Ours that the provider signs ID tokens with. */
  readonly algs: readonly string[];
  /** Null where the provider has no logout page. */
  readonly endSessionEndpoint: string | null;
  readonly userinfoEndpoint: string | null;
  /** Whether each authorization response must carry `iss`. RFC 9207, section 3. */
  readonly issRequired: boolean;
}

/**
 * Checks discovered metadata. A missing logout or userinfo endpoint switches that feature off; what signing in needs is
 * required.
 *
 * Errors: `ERR_OIDC_METADATA`.
 * @see OpenID Connect Discovery 1.0, sections 3 and 4.3; RFC 9700, section 2.1.1
 */
export function checkMetadata(server: ServerMetadata, rules: MetadataRules): ProviderMetadata {
  // The library lets two vendors answer with another issuer; nobody may here.
  if (!isSameIssuer(server.issuer, rules.issuer)) throw fault("issuer");
  const jwksUri = endpoint(server.jwks_uri, rules, "jwks_uri");
  if (rules.purpose === "sign-in") {
    endpoint(server.authorization_endpoint, rules, "authorization_endpoint");
    endpoint(server.token_endpoint, rules, "token_endpoint");
    if (!hasS256(server, rules)) throw fault("code_challenge_methods_supported");
  }
  if (rules.purpose === "service-tokens") endpoint(server.token_endpoint, rules, "token_endpoint");
  const algs = rules.purpose === "sign-in" ? signingAlgs(server, rules.algs) : rules.algs;
  if (algs.length === 0) throw fault("id_token_signing_alg_values_supported");
  return {
    server,
    issuer: server.issuer,
    jwksUri,
    algs,
    endSessionEndpoint: optional(server.end_session_endpoint, rules, "end_session_endpoint"),
    userinfoEndpoint: optional(server.userinfo_endpoint, rules, "userinfo_endpoint"),
    issRequired: server.authorization_response_iss_parameter_supported === true,
  };
}

/** Equal, or the same bare origin with and without its slash. */
export function isSameIssuer(left: string, right: string): boolean {
  if (left === right) return true;
  return withoutSlash(left) === withoutSlash(right) && isBareOrigin(left) && isBareOrigin(right);
}

function isBareOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).pathname === "/";
}

function withoutSlash(text: string): string {
  return text.endsWith("/") ? text.slice(0, -1) : text;
}

function hasS256(server: ServerMetadata, rules: MetadataRules): boolean {
  const methods: unknown = server.code_challenge_methods_supported;
  if (methods === undefined) return rules.assumeS256;
  return Array.isArray(methods) && methods.includes("S256");
}

function signingAlgs(server: ServerMetadata, ours: readonly string[]): readonly string[] {
  const theirs: unknown = server.id_token_signing_alg_values_supported;
  return Array.isArray(theirs) ? ours.filter((alg) => theirs.includes(alg)) : ours;
}

function optional(value: unknown, rules: MetadataRules, name: string): string | null {
  return value === undefined ? null : endpoint(value, rules, name);
}

function endpoint(value: unknown, { allowInsecure }: MetadataRules, name: string): string {
  if (typeof value !== "string" || !URL.canParse(value)) throw fault(name);
  const url = new URL(value);
  const secure = url.protocol === "https:";
  if (!secure && !(url.protocol === "http:" && allowInsecure && isLoopback(url))) throw fault(name);
  return value;
}

function fault(rule: string): OidcError {
  return new OidcError("ERR_OIDC_METADATA", rule);
}
