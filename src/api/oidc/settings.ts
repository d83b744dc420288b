import type { Secret } from "./secret.ts";

/** How the client proves itself. `none` is the public client, which has PKCE alone. */
export type ClientCredentials =
  | { readonly method: "none" }
  | { readonly method: "client_secret_basic"; readonly secret: Secret }
  | { readonly method: "client_secret_post"; readonly secret: Secret }
  | {
      readonly method: "private_key_jwt";
      /** PKCS#8 in PEM. */
      readonly privateKey: Secret;
      readonly alg: string;
      readonly keyId: string | null;
    };

/** An issuer of access tokens that machine clients may present. */
export interface AccessTokenSettings {
  readonly issuers: readonly string[];
  /** What `aud` must contain. */
  readonly audience: string;
}

/** Checked settings: what `checkOidcOptions` makes. Safe to log: secrets do not show themselves. */
export interface OidcSettings {
  /** Our own origin, without a trailing slash. Every URL of ours is built from it, never from a request. */
  readonly publicBaseUrl: string;
  readonly redirectUri: string;
  readonly postLogoutRedirectUri: string;
  readonly issuer: string;
  readonly clientId: string;
  readonly credentials: ClientCredentials;
  readonly scopes: readonly string[];
  /** Algorithms that a signature may have. Never `none`, never `HS…`. */
  readonly algs: readonly string[];
  readonly clockToleranceSec: number;
  /** Plain HTTP to a provider on loopback. */
  readonly allowInsecure: boolean;
  /** Takes S256 for granted where the metadata says nothing of PKCE. */
  readonly assumeS256: boolean;
  /** The claim that names the tenant; null makes every person a tenant of their own. */
  readonly tenantClaim: string | null;
  readonly roleClaim: string | null;
  /** Asks for a refresh token. */
  readonly refresh: boolean;
  /** Sends the ID token to the provider's logout page. */
  readonly idTokenHint: boolean;
  /** Takes logout tokens that have no `typ`. */
  readonly logoutTypOptional: boolean;
  readonly accessTokens: AccessTokenSettings | null;
  /** Sentences for the log at start. */
  readonly warnings: readonly string[];
}

/** Where the provider sends the browser back to. It has no query: RFC 9700, section 2.1. */
export const CALLBACK_PATH = "/api/auth/callback";
/** Where the provider sends the browser after a logout. */
export const LOGGED_OUT_PATH = "/api/auth/logged-out";
