import { isDeepStrictEqual } from "node:util";
import { isObject } from "../../../src/access-proxy/index.ts";
import { accessDenied, invalidRequest } from "../wire/oauth-error.ts";
import type { Account, Consent } from "./directory.ts";

/**
 * What is asked about one claim of an account.
 *
 * @see OpenID Connect Core 1.0, section 5.5.1
 */
export interface ClaimDemand {
  readonly name: string;
  readonly isEssential: boolean;
  /** What the claim must be one of; null where anything will do. */
  readonly values: readonly unknown[] | null;
}

/**
 * Reads a map of claims to `null` or `{essential, value, values}`; an absent one demands nothing.
 *
 * @throws OAuthError 400 `invalid_request`
 */
export function readDemands(map: unknown): ClaimDemand[] {
  if (map === undefined || map === null) return [];
  if (!isObject(map)) throw invalidRequest("claims are no object");
  return Object.entries(map).map(([name, how]) => {
    if (how === null) return { name, isEssential: false, values: null };
    if (!isObject(how)) throw invalidRequest("a claim is neither null nor an object");
    const { essential = false, value, values } = how;
    if (typeof essential !== "boolean") throw invalidRequest("essential is no boolean");
    if (values !== undefined && !Array.isArray(values)) throw invalidRequest("values is no array");
    const one = value === undefined ? null : [value];
    return { name, isEssential: essential, values: one ?? (values as unknown[]) ?? null };
  });
}

/** The account's claim; `sub` is what the TA is shown. */
function claimOf(name: string, account: Account, subject: string): unknown {
  if (name === "sub") return subject;
  return Object.hasOwn(account.attributes, name) ? account.attributes[name] : undefined;
}

/**
 * Row G7.
 *
 * @throws OAuthError 403 `access_denied`
 */
export function checkDemands(
  demands: readonly ClaimDemand[],
  account: Account,
  subject: string,
): void {
  for (const { name, isEssential, values } of demands) {
    const value = claimOf(name, account, subject);
    if (isEssential && value === undefined) throw accessDenied("an essential claim is not there");
    if (values !== null && !values.some((wanted) => isDeepStrictEqual(wanted, value))) {
      throw accessDenied("a claim is not what was asked for");
    }
  }
}

/** Whether a claim may be told: `sub` always is. */
function isConsented(name: string, consent: Consent): boolean {
  return name === "sub" || consent.claims.includes(name);
}

/**
 * Row G8 for one account.
 *
 * @param scopes that a new token is to have
 * @throws OAuthError 403 `access_denied`
 */
export function checkConsent(
  consent: Consent | undefined,
  demands: readonly ClaimDemand[],
  scopes: readonly string[],
): asserts consent is Consent {
  if (consent === undefined) throw accessDenied("an account has not consented");
  for (const { name, isEssential } of demands) {
    if (isEssential && !isConsented(name, consent)) {
      throw accessDenied("an essential claim is not consented to");
    }
  }
  for (const scope of scopes) {
    if (ESSENTIAL_SCOPES.has(scope) && !consent.scopes.includes(scope)) {
      throw accessDenied("an essential scope is not consented to");
    }
  }
}

/** Without it there is no signing in. OpenID Connect Core 1.0, section 3.1.2.1. */
const ESSENTIAL_SCOPES: ReadonlySet<string> = new Set(["openid"]);

/** What is told of an account: its id as the TA is shown it, and the claims asked for that are there and consented to. */
export function answeredClaims(
  demands: readonly ClaimDemand[],
  account: Account,
  subject: string,
  consent: Consent,
): Record<string, unknown> {
  const told = demands
    .filter(({ name }) => name !== "sub" && isConsented(name, consent))
    .map(({ name }) => [name, claimOf(name, account, subject)] as const)
    .filter(([, value]) => value !== undefined);
  return Object.fromEntries([["sub", subject], ...told]);
}
