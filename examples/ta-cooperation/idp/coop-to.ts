import { isObject } from "../../../src/access-proxy/index.ts";
import type { Json } from "../wire/json-http.ts";
import { invalidGrant, invalidRequest, OAuthError } from "../wire/oauth-error.ts";
import { signJwt, textOf } from "../wire/signed-jwt.ts";
import {
  answeredClaims,
  type ClaimDemand,
  checkConsent,
  checkDemands,
  readDemands,
} from "./claim-demands.ts";
import { type IdpContext, secondsOf } from "./context.ts";
import type { Account, Consent, Ta } from "./directory.ts";
import type { CodeGrant } from "./grants.ts";

/** An account of the code, and what is asked about it. */
interface Asked {
  readonly tag: string;
  readonly account: Account;
  /** The account's id as the TA is shown it. */
  readonly subject: string;
  /** Answered in the ids_token. */
  readonly demands: readonly ClaimDemand[];
  /** Looked at here, and answered elsewhere: of `claims.userinfo`. */
  readonly otherDemands: readonly ClaimDemand[];
  /** Of a new token; none for related accounts. */
  readonly scopes: readonly string[];
}

/**
 * Redeems a cooperation code. The rows G1 to G8 are checked in their order.
 *
 * @param request the body
 * @param endpoint URL of this endpoint
 * @throws OAuthError
 * @see TA cooperation, section 7
 */
export async function coopTo(request: Json, endpoint: string, context: IdpContext): Promise<Json> {
  const { grants, clients, directory } = context;
  // G1
  const code = textOf(request, "code");
  if (textOf(request, "grant_type") === null) throw invalidRequest("grant_type is missing");
  if (request["grant_type"] !== "cooperation_code") throw invalidRequest("grant_type is unknown");
  if (code === null) throw invalidRequest("code is missing");
  // G2
  const grant = grants.code(code);
  if (grant === undefined) throw invalidGrant("code is not valid");
  // G3
  const toTa = await clients.authenticate(request, endpoint);
  if (toTa.clientId !== grant.toTa) throw invalidGrant("code is for another TA");
  // G4, G5
  checkAsked(request, grant);
  // G6
  const asked = readAsked(request, grant, toTa, context);
  // G7
  for (const { account, subject, demands, otherDemands } of asked) {
    checkDemands([...demands, ...otherDemands], account, subject);
  }
  // G8
  const told = asked.map((it): [Asked, Consent] => {
    const consent = directory.consentOf(it.account.id, toTa.clientId);
    checkConsent(consent, [...it.demands, ...it.otherDemands], it.scopes);
    return [it, consent];
  });
  if (!grants.redeem(code)) throw invalidGrant("code is not valid");
  return {
    ...newToken(grant, toTa, context),
    ids_token: await signIdsToken(
      Object.fromEntries(
        told.map(([{ tag, account, subject, demands }, consent]) => [
          tag,
          answeredClaims(demands, account, subject, consent),
        ]),
      ),
      grant,
      context,
    ),
  };
}

/** Rows G4 and G5. */
function checkAsked({ claims, user_claims: userClaims }: Json, grant: CodeGrant): void {
  if (claims !== undefined) {
    if (!isObject(claims)) throw invalidRequest("claims is no object");
    if (grant.principal === null) throw invalidGrant("claims without a principal");
  }
  if (userClaims === undefined) return;
  if (!isObject(userClaims)) throw invalidRequest("user_claims is no object");
  const tags = grant.related.map(({ tag }) => tag);
  if (!Object.keys(userClaims).every((tag) => tags.includes(tag))) {
    throw invalidGrant("user_claims names an unknown tag");
  }
}

/** Row G6. */
function readAsked(
  { claims, user_claims: userClaims }: Json,
  { principal, related, scopes }: CodeGrant,
  toTa: Ta,
  { directory }: IdpContext,
): Asked[] {
  const find = (accountId: string): Pick<Asked, "account" | "subject"> => {
    const account = directory.account(accountId);
    if (account === undefined) {
      throw new OAuthError(403, "invalid_request", "an account is no more");
    }
    return { account, subject: directory.subjectOf(account, toTa) };
  };
  const ofPrincipal = isObject(claims) ? claims : {};
  const ofRelated = isObject(userClaims) ? userClaims : {};
  const asked: Asked[] = [];
  if (principal !== null) {
    asked.push({
      ...find(principal.accountId),
      tag: principal.tag,
      demands: readDemands(ofPrincipal["id_token"]),
      otherDemands: readDemands(ofPrincipal["userinfo"]),
      scopes,
    });
  }
  for (const { tag, accountId } of related) {
    asked.push({
      ...find(accountId),
      tag,
      demands: readDemands(Object.hasOwn(ofRelated, tag) ? ofRelated[tag] : undefined),
      otherDemands: [],
      scopes: [],
    });
  }
  return asked;
}

/** The members about the new access token; none for a code without a principal. */
function newToken(grant: CodeGrant, toTa: Ta, { directory, grants, wallNow }: IdpContext): Json {
  const { principal, tokenExpiresAtMs } = grant;
  if (principal === null) return {};
  const consented = directory.consentOf(principal.accountId, toTa.clientId)?.scopes ?? [];
  const scopes = grant.scopes.filter((scope) => consented.includes(scope));
  const token = grants.issueToken({
    accountId: principal.accountId,
    clientId: toTa.clientId,
    scopes,
    expiresAtMs: tokenExpiresAtMs,
  });
  return {
    access_token: token,
    token_type: "Bearer",
    expires_in: Math.max(0, Math.floor((tokenExpiresAtMs - wallNow()) / 1_000)),
    ...(scopes.length === 0 ? {} : { scope: scopes.join(" ") }),
  };
}

async function signIdsToken(
  ids: Json,
  { fromTa, toTa }: CodeGrant,
  { issuer, signer, wallNow, tokenLifetimeMs }: IdpContext,
): Promise<string> {
  const now = wallNow();
  return signJwt(
    {
      iss: issuer,
      sub: fromTa,
      aud: toTa,
      exp: secondsOf(now + tokenLifetimeMs),
      iat: secondsOf(now),
      ids,
    },
    signer,
  );
}
