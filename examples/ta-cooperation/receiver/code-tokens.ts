import { invalidRequest } from "../wire/oauth-error.ts";
import type { KeySource, PartyKeys } from "../wire/party-keys.ts";
import { audienceOf, type ReadJwt, readJwt, textOf, verifies } from "../wire/signed-jwt.ts";

/** An ID provider that the receiver takes code tokens of. */
export interface ReceiverIdp extends KeySource {
  readonly issuer: string;
  /** URL of its coop-to endpoint. */
  readonly coopToUrl: string;
}

/** A code token that was checked. */
export interface CodeToken {
  readonly idp: ReceiverIdp;
  readonly code: string;
  /** The principal's tag; null in tokens of other ID providers than the main one. */
  readonly userTag: string | null;
  readonly userTags: readonly string[];
  /** Of the main token; null where another has none. */
  readonly fromTa: string | null;
  readonly refHash: string | null;
}

/** The code tokens of one call, checked together. */
export interface CodeTokens {
  /** In the order in which they came. */
  readonly all: readonly CodeToken[];
  readonly principalTag: string;
  readonly fromTa: string;
}

export interface CodeTokenChecks {
  readonly selfId: string;
  readonly idps: ReadonlyMap<string, ReceiverIdp>;
  readonly keys: PartyKeys;
}

/** More than a call can have accounts. */
export const CODE_TOKENS_MAX = 33;

/**
 * Checks the code tokens of a call, each by itself and all of them together.
 *
 * @throws OAuthError 400 `invalid_request`
 * @see TA cooperation, section 8.2
 */
export async function readCodeTokens(
  texts: readonly string[],
  checks: CodeTokenChecks,
): Promise<CodeTokens> {
  if (texts.length > CODE_TOKENS_MAX) throw invalidRequest("too many code tokens");
  const all: CodeToken[] = [];
  for (const text of texts) all.push(await readCodeToken(text, checks));
  const [main, ...others] = all.filter(({ userTag }) => userTag !== null);
  if (main === undefined) throw invalidRequest("no code token has user_tag");
  if (others.length > 0) throw invalidRequest("more than one code token has user_tag");
  const { userTag, fromTa, refHash } = main;
  if (userTag === null || fromTa === null) throw invalidRequest("from_client is missing");
  if (all.some((token) => token !== main && token.userTags.length === 0)) {
    throw invalidRequest("a code token has no tags");
  }
  const tags = [userTag, ...all.flatMap(({ userTags }) => userTags)];
  if (new Set(tags).size !== tags.length) throw invalidRequest("an account tag is used twice");
  if (all.length > 1 && !all.every((token) => refHash !== null && token.refHash === refHash)) {
    throw invalidRequest("the code tokens do not belong together");
  }
  return { all, principalTag: userTag, fromTa };
}

async function readCodeToken(text: string, checks: CodeTokenChecks): Promise<CodeToken> {
  const jwt = readJwt(text);
  if (jwt === null) throw invalidRequest("a code token is no JWT");
  const { claims } = jwt;
  const issuer = textOf(claims, "iss");
  const code = textOf(claims, "sub");
  if (issuer === null || code === null || claims["aud"] === undefined) {
    throw invalidRequest("a code token lacks a claim");
  }
  if (!audienceOf(claims).includes(checks.selfId)) {
    throw invalidRequest("a code token is for another TA");
  }
  const idp = checks.idps.get(issuer);
  if (idp === undefined) throw invalidRequest("a code token is of an unknown ID provider");
  if (!(await verifies(jwt, await checks.keys.of(idp)))) {
    throw invalidRequest("a code token does not verify");
  }
  return {
    idp,
    code,
    userTag: textOf(claims, "user_tag"),
    userTags: tagsOf(jwt),
    fromTa: textOf(claims, "from_client"),
    refHash: textOf(claims, "ref_hash"),
  };
}

function tagsOf({ claims: { user_tags: tags = [] } }: ReadJwt): readonly string[] {
  if (Array.isArray(tags) && tags.every((tag) => typeof tag === "string" && tag !== "")) {
    return tags as string[];
  }
  throw invalidRequest("user_tags is no array of tags");
}
