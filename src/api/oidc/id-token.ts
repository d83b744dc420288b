import { createHash } from "node:crypto";
import { decodeProtectedHeader, type JWTPayload } from "jose";
import { OidcError, toOidcError } from "./errors.ts";
import type { KeySet } from "./key-set.ts";
import type { OidcClock } from "./ports.ts";

/** Oldest ID token that a sign-in takes. It was made for this token response, seconds ago. */
const AGE_SEC_MAX = 600;
const SUB_LENGTH_MAX = 255;
const ID_TOKEN_TYPES = new Set(["jwt", "application/jwt", "id_token+jwt"]);

/** What an ID token is held against. */
export interface IdTokenRules {
  readonly issuer: string;
  readonly clientId: string;
  readonly algs: readonly string[];
  readonly clockToleranceSec: number;
  readonly nonce: string;
  /** For `at_hash`. */
  readonly accessToken: string;
  /** Epoch seconds before which `auth_time` may not lie; null where nobody asked for a new proof. */
  readonly authTimeLeast: number | null;
}

/** The claims of an ID token that passed. */
export interface IdTokenClaims {
  readonly sub: string;
  readonly iat: number;
  readonly exp: number;
  readonly sid: string | null;
  readonly authTime: number | null;
  readonly acr: string | null;
  readonly amr: readonly string[];
  /** All of them. */
  readonly all: JWTPayload;
}

/**
 * Verifies an ID token: first the signature, with a key of the provider's published set and an algorithm of ours; then
 * every rule of the specification, those that the library leaves out included (`azp` beside a single audience, an empty
 * `sub`, `iat` in the future or long ago, `at_hash`, `auth_time`).
 *
 * Errors: `ERR_OIDC_ID_TOKEN_INVALID`, `ERR_OIDC_CLAIM_MISMATCH`, `ERR_OIDC_TOKEN_TIME`, `ERR_OIDC_KEY_UNKNOWN`,
 * `ERR_OIDC_REAUTH_STALE`, and those of fetching keys.
 * @see OpenID Connect Core 1.0, sections 2, 3.1.3.6 and 3.1.3.7; RFC 8725, section 3
 */
export async function verifyIdToken(
  token: string,
  keys: KeySet,
  clock: OidcClock,
  rules: IdTokenRules,
): Promise<IdTokenClaims> {
  const { payload, alg, typ } = await verifySigned(token, keys, clock, rules);
  if (typ !== undefined && !ID_TOKEN_TYPES.has(typ.toLowerCase())) throw invalid("typ");
  if (payload["nonce"] !== rules.nonce) throw mismatch("nonce");
  const { sub, iat, exp } = payload;
  if (typeof sub !== "string" || sub === "" || sub.length > SUB_LENGTH_MAX) throw invalid("sub");
  if (iat === undefined || exp === undefined) throw invalid("times");
  checkIssuedAt(iat, clock, rules);
  checkAudience(payload, rules);
  checkAtHash(payload["at_hash"], alg, rules.accessToken);
  const authTime = numberOrNull(payload["auth_time"]);
  checkAuthTime(authTime, rules.authTimeLeast);
  return {
    sub,
    iat,
    exp,
    sid: textOrNull(payload["sid"]),
    authTime,
    acr: textOrNull(payload["acr"]),
    amr: textsOf(payload["amr"]),
    all: payload,
  };
}

async function verifySigned(
  token: string,
  keys: KeySet,
  clock: OidcClock,
  rules: IdTokenRules,
): Promise<{ payload: JWTPayload; alg: string; typ: string | undefined }> {
  try {
    const { payload, protectedHeader } = await keys.verify(token, {
      algorithms: [...rules.algs],
      issuer: rules.issuer,
      audience: rules.clientId,
      clockTolerance: rules.clockToleranceSec,
      currentDate: new Date(clock.epochMs()),
      requiredClaims: ["sub", "iat", "exp", "nonce"],
    });
    return { payload, alg: protectedHeader.alg, typ: protectedHeader.typ };
  } catch (error) {
    throw toOidcError(error);
  }
}

function checkIssuedAt(iat: number, clock: OidcClock, rules: IdTokenRules): void {
  const now = clock.epochMs() / 1_000;
  if (iat > now + rules.clockToleranceSec || iat < now - AGE_SEC_MAX) {
    throw new OidcError("ERR_OIDC_TOKEN_TIME", "iat");
  }
}

/** More than one audience needs `azp`, and `azp` is always us. */
function checkAudience({ aud, azp }: JWTPayload, { clientId }: IdTokenRules): void {
  if (azp !== undefined && azp !== clientId) throw mismatch("azp");
  if (Array.isArray(aud) && aud.length > 1 && azp === undefined) throw mismatch("azp");
}

/** The left half of the hash that goes with the signature's algorithm. */
function checkAtHash(atHash: unknown, alg: string, accessToken: string): void {
  if (atHash === undefined) return;
  const digest = createHash(hashOf(alg)).update(accessToken, "ascii").digest();
  const expected = digest.subarray(0, digest.length / 2).toString("base64url");
  if (atHash !== expected) throw mismatch("at_hash");
}

function hashOf(alg: string): "sha256" | "sha384" | "sha512" {
  if (alg.endsWith("256")) return "sha256";
  if (alg.endsWith("384")) return "sha384";
  // Also Ed25519, whose signature has SHA-512 within.
  return "sha512";
}

function checkAuthTime(authTime: number | null, least: number | null): void {
  if (least === null) return;
  if (authTime === null || authTime < least) throw new OidcError("ERR_OIDC_REAUTH_STALE");
}

/** Whether the header of a token carries a type, in lower case; null for none or for what is no JWT. */
export function headerType(token: string): string | null {
  try {
    const { typ } = decodeProtectedHeader(token);
    return typeof typ === "string" ? typ.toLowerCase() : null;
  } catch {
    return null;
  }
}

export function textOrNull(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function numberOrNull(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

function invalid(rule: string): OidcError {
  return new OidcError("ERR_OIDC_ID_TOKEN_INVALID", rule);
}

function mismatch(rule: string): OidcError {
  return new OidcError("ERR_OIDC_CLAIM_MISMATCH", rule);
}
