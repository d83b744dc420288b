import { createPrivateKey, type KeyObject } from "node:crypto";
import { ConfigError, type ConfigProblem } from "../../core/errors.ts";
import { isPlaceholder } from "../../core/placeholder.ts";
import { Secret } from "./secret.ts";
import {
  type AccessTokenSettings,
  CALLBACK_PATH,
  type ClientCredentials,
  LOGGED_OUT_PATH,
  type OidcSettings,
} from "./settings.ts";

/** Settings as they come from flags, environment and file. An empty text counts as not set. */
export interface OidcOptions {
  readonly publicBaseUrl?: string | undefined;
  readonly oidcIssuer?: string | undefined;
  readonly oidcClientId?: string | undefined;
  /** `none`, `client_secret_basic`, `client_secret_post`, `private_key_jwt`; with a secret alone it is basic. */
  readonly oidcClientAuth?: string | undefined;
  readonly oidcClientSecret?: string | undefined;
  /** PKCS#8 in PEM. */
  readonly oidcClientPrivateKey?: string | undefined;
  readonly oidcClientKeyId?: string | undefined;
  /** Separated by spaces; `openid profile email` by default. */
  readonly oidcScopes?: string | undefined;
  /** Separated by commas; `RS256,PS256,ES256,EdDSA` by default. */
  readonly oidcAlgs?: string | undefined;
  /** 0 to 120, 30 by default. */
  readonly oidcClockToleranceSec?: number | undefined;
  readonly oidcAllowInsecure?: boolean | undefined;
  readonly oidcAssumeS256?: boolean | undefined;
  readonly oidcTenantClaim?: string | undefined;
  readonly oidcRoleClaim?: string | undefined;
  readonly oidcRefresh?: boolean | undefined;
  /** `confirmed`: the provider rotates the refresh tokens of public clients. */
  readonly oidcRtRotation?: string | undefined;
  readonly oidcIdTokenHint?: boolean | undefined;
  readonly oidcLogoutTypOptional?: boolean | undefined;
  /** Separated by commas. */
  readonly apiJwtIssuers?: string | undefined;
  readonly apiJwtAudience?: string | undefined;
  /** The process's `NODE_TLS_REJECT_UNAUTHORIZED`. */
  readonly tlsRejectUnauthorized?: string | undefined;
}

const METHODS = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] as const;
const ALGS = new Set(
  "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519".split(" "),
);
const ALGS_DEFAULT = "RS256,PS256,ES256,EdDSA";
const SCOPES_DEFAULT = "openid profile email";
const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]+$/;
const RSA_BITS_MIN = 2_048;

/**
 * Checks everything and reports everything. Asks nobody.
 *
 * Errors: `ERR_CONFIG_INVALID`, with every problem; none of them shows a value that is a secret.
 */
export function checkOidcOptions(options: OidcOptions): OidcSettings {
  const problems: ConfigProblem[] = [];
  const problem = (setting: keyof OidcOptions, text: string): void => {
    problems.push({ setting, problem: text });
  };
  const base = checkBaseUrl(options, problem);
  const issuer = checkIssuer("oidcIssuer", options.oidcIssuer, options, problem);
  const clientId = options.oidcClientId ?? "";
  if (!/^[\x20-\x7e]{1,255}$/.test(clientId)) {
    problem("oidcClientId", "wanted 1 to 255 printable characters");
  }
  const credentials = checkCredentials(options, problem);
  const refresh = checkRefresh(options, problem);
  const scopes = checkScopes(options, refresh, problem);
  const algs = checkAlgs(options, problem);
  const clockToleranceSec = options.oidcClockToleranceSec ?? 30;
  if (!(clockToleranceSec >= 0 && clockToleranceSec <= 120)) {
    problem("oidcClockToleranceSec", "wanted 0 to 120");
  }
  if (options.tlsRejectUnauthorized === "0") {
    problem(
      "tlsRejectUnauthorized",
      "NODE_TLS_REJECT_UNAUTHORIZED=0 switches every check of certificates off",
    );
  }
  const accessTokens = checkAccessTokens(options, problem);
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    publicBaseUrl: base,
    redirectUri: base + CALLBACK_PATH,
    postLogoutRedirectUri: base + LOGGED_OUT_PATH,
    issuer,
    clientId,
    credentials,
    scopes,
    algs,
    clockToleranceSec,
    allowInsecure: options.oidcAllowInsecure === true && issuer.startsWith("http:"),
    assumeS256: options.oidcAssumeS256 === true,
    tenantClaim: set(options.oidcTenantClaim),
    roleClaim: set(options.oidcRoleClaim),
    refresh,
    idTokenHint: options.oidcIdTokenHint !== false,
    logoutTypOptional: options.oidcLogoutTypOptional === true,
    accessTokens,
    warnings: warningsOf(options, credentials),
  };
}

type Report = (setting: keyof OidcOptions, text: string) => void;

/** Empty counts as not set: RFC 6749 has no empty secret, and shells make them by mistake. */
function set(text: string | undefined): string | null {
  return text === undefined || text.trim() === "" ? null : text;
}

/** Whether a URL's host is this machine by its name or address. */
export function isLoopback(url: URL): boolean {
  return (
    url.hostname === "localhost" ||
    url.hostname === "[::1]" ||
    /^127\.\d+\.\d+\.\d+$/.test(url.hostname)
  );
}

function readUrl(text: string | undefined): URL | null {
  if (text === undefined || !URL.canParse(text)) return null;
  const url = new URL(text);
  const plain = url.username === "" && url.password === "" && !/[?#\s]/.test(text);
  return plain && (url.protocol === "https:" || url.protocol === "http:") ? url : null;
}

function checkBaseUrl({ publicBaseUrl }: OidcOptions, problem: Report): string {
  const url = readUrl(publicBaseUrl);
  if (url === null || url.pathname !== "/") {
    problem("publicBaseUrl", "wanted an origin such as https://app.example.org, without a path");
  } else if (url.protocol !== "https:" && !isLoopback(url)) {
    problem("publicBaseUrl", "wanted https; plain http is for loopback alone");
  }
  return url?.origin ?? "";
}

function checkIssuer(
  setting: "oidcIssuer" | "apiJwtIssuers",
  text: string | undefined,
  { oidcAllowInsecure }: OidcOptions,
  problem: Report,
): string {
  const url = readUrl(text);
  if (url === null) {
    problem(setting, "wanted an issuer's URL without query and fragment");
    return "";
  }
  if (url.pathname.includes("/.well-known/")) {
    problem(setting, "wanted the issuer itself, not the address of its metadata");
  }
  if (url.protocol === "http:" && !(isLoopback(url) && oidcAllowInsecure === true)) {
    problem(setting, "wanted https; plain http needs an issuer on loopback and oidcAllowInsecure");
  }
  return text ?? "";
}

function checkCredentials(options: OidcOptions, problem: Report): ClientCredentials {
  const secret = set(options.oidcClientSecret);
  const privateKey = set(options.oidcClientPrivateKey);
  const wanted = set(options.oidcClientAuth) ?? (secret === null ? null : "client_secret_basic");
  const method = METHODS.find((name) => name === wanted);
  if (method === undefined) {
    problem("oidcClientAuth", `wanted one of ${METHODS.join(", ")}, or a secret`);
    return { method: "none" };
  }
  const takesSecret = method === "client_secret_basic" || method === "client_secret_post";
  if (secret !== null && !takesSecret) {
    problem("oidcClientSecret", `${method} has no secret: leave it out, or choose another method`);
  }
  if (privateKey !== null && method !== "private_key_jwt") {
    problem("oidcClientPrivateKey", `${method} has no key: leave it out, or choose another method`);
  }
  if (method === "none") return { method };
  if (method === "private_key_jwt") return checkPrivateKey(options, privateKey, problem);
  if (secret === null) problem("oidcClientSecret", `${method} needs a secret`);
  else if (isPlaceholder(secret)) {
    problem("oidcClientSecret", "this is a placeholder, not a secret");
  }
  return { method, secret: new Secret(secret ?? "") };
}

function checkPrivateKey(
  { oidcClientKeyId }: OidcOptions,
  text: string | null,
  problem: Report,
): ClientCredentials {
  const alg = text === null ? null : algOfKey(text);
  if (alg === null) {
    problem(
      "oidcClientPrivateKey",
      "wanted PKCS#8 in PEM: RSA of 2048 bits or more, P-256 or Ed25519",
    );
  }
  return {
    method: "private_key_jwt",
    privateKey: new Secret(text ?? ""),
    alg: alg ?? "",
    keyId: set(oidcClientKeyId),
  };
}

function algOfKey(pem: string): string | null {
  if (!pem.includes("-----BEGIN PRIVATE KEY-----")) return null;
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    return null;
  }
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === "rsa") return modulusLength >= RSA_BITS_MIN ? "RS256" : null;
  if (key.asymmetricKeyType === "ed25519") return "EdDSA";
  return namedCurve === "prime256v1" ? "ES256" : null;
}

function checkRefresh(options: OidcOptions, problem: Report): boolean {
  const rotation = set(options.oidcRtRotation);
  if (rotation !== null && rotation !== "confirmed") problem("oidcRtRotation", "wanted confirmed");
  // A refresh token of a public client is a bearer token for whoever finds it, unless each use replaces it.
  const isPublic = options.oidcClientAuth === "none";
  return options.oidcRefresh === true && (!isPublic || rotation === "confirmed");
}

function checkScopes(options: OidcOptions, refresh: boolean, problem: Report): string[] {
  const scopes = (set(options.oidcScopes) ?? SCOPES_DEFAULT).trim().split(/ +/);
  if (!scopes.includes("openid")) problem("oidcScopes", "openid must be one of them");
  if (!scopes.every((scope) => SCOPE_TOKEN.test(scope))) problem("oidcScopes", "malformed");
  const unique = new Set(scopes);
  if (unique.delete("offline_access") && options.oidcRefresh !== true) {
    problem("oidcScopes", "offline_access is asked for by oidcRefresh alone");
  }
  if (refresh) unique.add("offline_access");
  return [...unique];
}

function checkAlgs(options: OidcOptions, problem: Report): string[] {
  const algs = (set(options.oidcAlgs) ?? ALGS_DEFAULT).split(",").map((alg) => alg.trim());
  if (!algs.every((alg) => ALGS.has(alg))) {
    problem("oidcAlgs", `wanted some of ${[...ALGS].join(", ")}`);
  }
  return algs;
}

function checkAccessTokens(options: OidcOptions, problem: Report): AccessTokenSettings | null {
  const issuers = set(options.apiJwtIssuers)?.split(",") ?? [];
  if (issuers.length === 0) return null;
  for (const issuer of issuers) checkIssuer("apiJwtIssuers", issuer.trim(), options, problem);
  const audience = set(options.apiJwtAudience);
  if (audience === null) problem("apiJwtAudience", "apiJwtIssuers needs the audience of this API");
  return { issuers: [...new Set(issuers.map((text) => text.trim()))], audience: audience ?? "" };
}

function warningsOf(options: OidcOptions, credentials: ClientCredentials): string[] {
  const warnings: string[] = [];
  if (credentials.method === "none") {
    warnings.push(
      "This is a public client: PKCE alone protects its codes. Prefer a confidential one.",
    );
    if (options.oidcRefresh === true && options.oidcRtRotation !== "confirmed") {
      warnings.push("Refresh tokens are off: a public client needs a provider that rotates them.");
    }
  }
  if (options.oidcAllowInsecure === true) {
    warnings.push("The identity provider on loopback is spoken to in plain HTTP.");
  }
  return warnings;
}
