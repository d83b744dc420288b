import {
  accountHash,
  isObject,
  randomString,
  referralHash,
} from "../../../src/access-proxy/index.ts";
import type { Json } from "../wire/json-http.ts";
import { invalidClient, invalidGrant, invalidRequest, OAuthError } from "../wire/oauth-error.ts";
import { signJwt, textOf } from "../wire/signed-jwt.ts";
import { type IdpContext, secondsOf } from "./context.ts";
import type { Ta } from "./directory.ts";
import type { AccessToken, TaggedAccount } from "./grants.ts";
import { readReferral } from "./referral.ts";
import { type ReferralWish, readReferralWish, readRelatedUsers } from "./referral-wish.ts";

const JTI_CHARACTERS = 20;

/**
 * Answers a coop-from request. The rows F1 to F15 are checked in their order, with one exception that row F3 asks for: who sends a
 * referral is authenticated as the TA that it names, so the referral's own rows come before F4.
 *
 * @param request the body
 * @param endpoint URL of this endpoint
 * @throws OAuthError
 * @see TA cooperation, section 5
 */
export async function coopFrom(
  request: Json,
  endpoint: string,
  context: IdpContext,
): Promise<Json> {
  // F1
  const grantType = textOf(request, "grant_type");
  const wanted = textOf(request, "response_type")?.split(" ");
  if (grantType === null) throw invalidRequest("grant_type is missing");
  if (wanted === undefined) throw invalidRequest("response_type is missing");
  switch (grantType) {
    case "access_token":
      return answerAsMain(request, wanted, endpoint, context);
    case "referral":
      return answerAsSub(request, wanted, endpoint, context);
    default:
      throw invalidRequest("grant_type is unknown");
  }
}

/** A request as the main ID provider, with all its rows checked. */
interface MainRequest {
  readonly fromTa: Ta;
  readonly toTa: string;
  readonly userTag: string;
  readonly sourceToken: string;
  readonly token: AccessToken;
  readonly scopes: readonly string[];
  /** Milliseconds since 1970. */
  readonly tokenExpiresAtMs: number;
  readonly users: readonly TaggedAccount[];
  /** Null where no referral is asked for. */
  readonly wish: ReferralWish | null;
}

async function checkMain(
  request: Json,
  wanted: readonly string[],
  endpoint: string,
  context: IdpContext,
): Promise<MainRequest> {
  const { directory, clients, grants, wallNow } = context;
  // F2
  const wantsReferral = wanted.includes("referral");
  if (!wanted.includes("code_token") || wanted.length !== (wantsReferral ? 2 : 1)) {
    throw invalidRequest("response_type is not allowed");
  }
  // F3
  const fromTa = directory.ta(textOf(request, "from_client") ?? "");
  if (fromTa === undefined) throw invalidClient("from_client is unknown");
  // F4
  const sender = await clients.authenticate(request, endpoint);
  if (sender !== fromTa) throw invalidClient("client_assertion is of another TA");
  // F5
  const toTa = textOf(request, "to_client");
  const sourceToken = textOf(request, "access_token");
  const userTag = textOf(request, "user_tag");
  if (toTa === null) throw invalidRequest("to_client is missing");
  if (sourceToken === null) throw invalidRequest("access_token is missing");
  if (userTag === null) throw invalidRequest("user_tag is missing");
  // F6
  if (directory.ta(toTa) === undefined) throw invalidRequest("to_client is unknown");
  if (toTa === fromTa.clientId) throw invalidRequest("to_client is from_client");
  // F7
  const token = grants.token(sourceToken);
  if (token === undefined) throw invalidGrant("access_token is not valid");
  // F8
  if (token.clientId !== fromTa.clientId) throw invalidGrant("access_token is of another TA");
  // F9
  const scopes = readScopes(request, token);
  const tokenExpiresAtMs = readEnd(request, token, wallNow());
  // F10
  const users = readUsers(request, fromTa, context);
  // F11
  const foreign = wantsReferral ? Object.keys(readRelatedUsers(request)) : [];
  checkTags([userTag, ...users.map(({ tag }) => tag), ...foreign]);
  // F12
  const wish = wantsReferral ? readReferralWish(request, context) : null;
  return { fromTa, toTa, userTag, sourceToken, token, scopes, tokenExpiresAtMs, users, wish };
}

async function answerAsMain(
  request: Json,
  wanted: readonly string[],
  endpoint: string,
  context: IdpContext,
): Promise<Json> {
  const checked = await checkMain(request, wanted, endpoint, context);
  const { toTa, userTag, users, wish } = checked;
  const fromTa = checked.fromTa.clientId;
  const referral = wish === null ? null : await signReferral(wish, fromTa, toTa, context);
  const code = context.grants.issueCode({
    principal: { tag: userTag, accountId: checked.token.accountId },
    sourceToken: checked.sourceToken,
    scopes: checked.scopes,
    tokenExpiresAtMs: checked.tokenExpiresAtMs,
    related: users,
    fromTa,
    toTa,
  });
  const refHash = wish === null || referral === null ? null : referralHash(wish.hashAlg, referral);
  const codeToken = await signCodeToken(context, { code, toTa, fromTa, userTag, users, refHash });
  return { code_token: codeToken, ...(referral === null ? {} : { referral }) };
}

async function answerAsSub(
  request: Json,
  wanted: readonly string[],
  endpoint: string,
  context: IdpContext,
): Promise<Json> {
  const { clients, grants, issuer } = context;
  // F2
  if (wanted.length !== 1 || wanted[0] !== "code_token") {
    throw invalidRequest("response_type is not allowed");
  }
  // F3, F13, F14
  if (!isObject(request["users"]) || Object.keys(request["users"]).length === 0) {
    throw invalidRequest("users is missing");
  }
  const given = request["users"];
  const { text, fromTa, toTa, relatedUsers, hashAlg } = await readReferral(
    request["referral"],
    context,
  );
  // F4
  const sender = await clients.authenticate(request, endpoint);
  if (sender !== fromTa) throw invalidClient("client_assertion is of another TA");
  // F10
  const users = readUsers(request, fromTa, context);
  // F15
  for (const { tag } of users) {
    const vouched = Object.hasOwn(relatedUsers, tag) ? relatedUsers[tag] : undefined;
    if (accountHash(hashAlg, issuer, String(given[tag])) !== vouched) {
      throw invalidGrant("the referral does not vouch for an account");
    }
  }
  const code = grants.issueCode({
    principal: null,
    sourceToken: null,
    scopes: [],
    tokenExpiresAtMs: 0,
    related: users,
    fromTa: fromTa.clientId,
    toTa: toTa.clientId,
  });
  const codeToken = await signCodeToken(context, {
    code,
    toTa: toTa.clientId,
    fromTa: fromTa.clientId,
    userTag: null,
    users,
    refHash: referralHash(hashAlg, text),
  });
  return { code_token: codeToken };
}

/** Row F9. */
function readScopes(request: Json, token: AccessToken): readonly string[] {
  const { scope } = request;
  if (scope === undefined) return token.scopes;
  if (typeof scope !== "string") throw invalidRequest("scope is no text");
  const scopes = scope.split(" ").filter((name) => name !== "");
  if (scopes.every((name) => token.scopes.includes(name))) return scopes;
  throw new OAuthError(400, "invalid_scope", "scope is wider than that of access_token");
}

/** End of the new token, milliseconds since 1970: no later than that of the one it comes from. */
function readEnd(request: Json, token: AccessToken, now: number): number {
  const seconds = request["expires_in"] ?? 0;
  if (!Number.isSafeInteger(seconds) || (seconds as number) < 0) {
    throw invalidRequest("expires_in is no number of seconds");
  }
  if (seconds === 0) return token.expiresAtMs;
  return Math.min(token.expiresAtMs, now + (seconds as number) * 1_000);
}

/** Row F10: the accounts of `users`, each by this ID provider's own id. */
function readUsers(request: Json, fromTa: Ta, { directory }: IdpContext): TaggedAccount[] {
  const users = request["users"] ?? {};
  if (!isObject(users)) throw invalidRequest("users is no object");
  return Object.entries(users).map(([tag, subject]) => {
    const account = typeof subject === "string" ? directory.accountOf(subject, fromTa) : undefined;
    if (account === undefined) throw invalidRequest("users names an unknown account");
    return { tag, accountId: account.id };
  });
}

/** Row F11. */
function checkTags(tags: readonly string[]): void {
  if (new Set(tags).size !== tags.length) throw invalidRequest("an account tag is used twice");
}

async function signReferral(
  { relatedUsers, relatedIssuers, hashAlg }: ReferralWish,
  fromTa: string,
  toTa: string,
  { issuer, signer, wallNow, tokenLifetimeMs }: IdpContext,
): Promise<string> {
  return signJwt(
    {
      iss: issuer,
      sub: fromTa,
      aud: relatedIssuers,
      exp: secondsOf(wallNow() + tokenLifetimeMs),
      jti: randomString(JTI_CHARACTERS),
      to_client: toTa,
      related_users: relatedUsers,
      hash_alg: hashAlg,
    },
    signer,
  );
}

interface CodeTokenParts {
  readonly code: string;
  readonly toTa: string;
  readonly fromTa: string;
  readonly userTag: string | null;
  readonly users: readonly TaggedAccount[];
  readonly refHash: string | null;
}

async function signCodeToken({ issuer, signer }: IdpContext, of: CodeTokenParts): Promise<string> {
  return signJwt(
    {
      iss: issuer,
      sub: of.code,
      aud: of.toTa,
      from_client: of.fromTa,
      ...(of.userTag === null ? {} : { user_tag: of.userTag }),
      ...(of.users.length === 0 ? {} : { user_tags: of.users.map(({ tag }) => tag) }),
      ...(of.refHash === null ? {} : { ref_hash: of.refHash }),
    },
    signer,
  );
}
