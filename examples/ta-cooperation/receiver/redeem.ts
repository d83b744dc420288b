import { CLIENT_ASSERTION_TYPE, isObject } from "../../../src/access-proxy/index.ts";
import { type Json, postJson } from "../wire/json-http.ts";
import { accessDenied, invalidRequest, OAuthError } from "../wire/oauth-error.ts";
import type { PartyKeys } from "../wire/party-keys.ts";
import { audienceOf, isExpired, readJwt, textOf, timeOf, verifies } from "../wire/signed-jwt.ts";
import type { CodeToken, CodeTokens } from "./code-tokens.ts";

/** An account as an ID provider told of it. */
export interface ToldAccount {
  readonly tag: string;
  readonly issuer: string;
  /** `sub` among them. */
  readonly claims: Json;
}

/** The access token that came for the principal. */
export interface NewToken {
  readonly token: string;
  readonly issuer: string;
  readonly scope: string;
  /** Milliseconds since 1970; the past where the answer had no `expires_in`. */
  readonly expiresAtMs: number;
}

/** What the codes of a call were redeemed for. */
export interface Redeemed {
  readonly principal: ToldAccount;
  readonly related: readonly ToldAccount[];
  readonly token: NewToken;
}

export interface RedeemParts {
  readonly selfId: string;
  /** A new client assertion for an endpoint. */
  readonly assert: (url: string) => Promise<string>;
  readonly keys: PartyKeys;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

interface Answer {
  readonly codeToken: CodeToken;
  readonly body: Json;
  /** The from-TA, by this ID provider. */
  readonly fromTa: string;
  readonly ids: Json;
}

const ERROR_CODES = [
  "invalid_request",
  "invalid_client",
  "invalid_grant",
  "invalid_scope",
  "access_denied",
  "server_error",
] as const;

/**
 * Redeems the codes of a call, one after another.
 *
 * @throws OAuthError what an ID provider refuses with; 403 `access_denied` where an ids_token is not as it must be; 400
 * `invalid_request` where the ID providers name different TAs; 500 `server_error` where one does not answer
 * @see TA cooperation, section 8.3
 */
export async function redeem(tokens: CodeTokens, parts: RedeemParts): Promise<Redeemed> {
  const answers: Answer[] = [];
  for (const codeToken of tokens.all) answers.push(await redeemOne(codeToken, parts));
  if (new Set(answers.map(({ fromTa }) => fromTa)).size > 1) {
    throw invalidRequest("the ID providers name different TAs");
  }
  if (answers[0]?.fromTa !== tokens.fromTa) throw accessDenied("ids_token names another TA");
  let principal: ToldAccount | null = null;
  let token: NewToken | null = null;
  const related: ToldAccount[] = [];
  for (const { codeToken, body, ids } of answers) {
    const { issuer } = codeToken.idp;
    const told = (tag: string): ToldAccount => ({ tag, issuer, claims: ids[tag] as Json });
    if (codeToken.userTag !== null) {
      principal = told(codeToken.userTag);
      token = newToken(body, issuer, parts.wallNow());
    }
    related.push(...codeToken.userTags.map(told));
  }
  if (principal === null || token === null) throw accessDenied("access_token is missing");
  return { principal, related, token };
}

function newToken(body: Json, issuer: string, now: number): NewToken | null {
  const token = textOf(body, "access_token");
  if (token === null) return null;
  const seconds = timeOf(body, "expires_in") ?? 0;
  const scope = textOf(body, "scope") ?? "";
  return { token, issuer, scope, expiresAtMs: now + seconds * 1_000 };
}

async function redeemOne(codeToken: CodeToken, parts: RedeemParts): Promise<Answer> {
  const { issuer, coopToUrl } = codeToken.idp;
  const request = {
    grant_type: "cooperation_code",
    code: codeToken.code,
    client_assertion_type: CLIENT_ASSERTION_TYPE,
    client_assertion: await parts.assert(coopToUrl),
  };
  const asked = await postJson(coopToUrl, request).catch(() => {
    throw new OAuthError(500, "server_error", `ID provider ${issuer} is unreachable`);
  });
  const body = asked.body ?? {};
  if (asked.status !== 200) throw refusal(asked.status, body);
  return { codeToken, body, ...(await readIdsToken(body, codeToken, parts)) };
}

/** What the ID provider said, as far as an error answer may say it. */
function refusal(status: number, { error, error_description: description }: Json): OAuthError {
  const code = ERROR_CODES.find((known) => known === error) ?? "server_error";
  const text = typeof description === "string" ? description : "the ID provider refused the code";
  return new OAuthError(status >= 400 && status <= 599 ? status : 500, code, text);
}

async function readIdsToken(
  body: Json,
  { idp, userTag, userTags }: CodeToken,
  { keys, selfId, wallNow }: RedeemParts,
): Promise<Pick<Answer, "fromTa" | "ids">> {
  const jwt = readJwt(body["ids_token"]);
  if (jwt === null) throw accessDenied("ids_token is missing or no JWT");
  const { claims } = jwt;
  const fromTa = textOf(claims, "sub");
  const exp = timeOf(claims, "exp");
  const { ids } = claims;
  if (fromTa === null || exp === null || timeOf(claims, "iat") === null || !isObject(ids)) {
    throw accessDenied("ids_token lacks a claim");
  }
  if (claims["iss"] !== idp.issuer) throw accessDenied("ids_token is of another ID provider");
  if (!audienceOf(claims).includes(selfId)) throw accessDenied("ids_token is for another TA");
  if (isExpired(exp, wallNow())) throw accessDenied("ids_token has expired");
  if (!(await verifies(jwt, await keys.of(idp)))) throw accessDenied("ids_token does not verify");
  for (const tag of userTag === null ? userTags : [userTag, ...userTags]) {
    const told = Object.hasOwn(ids, tag) ? ids[tag] : undefined;
    if (!isObject(told) || textOf(told, "sub") === null) {
      throw accessDenied("ids_token lacks an account");
    }
  }
  return { fromTa, ids };
}
