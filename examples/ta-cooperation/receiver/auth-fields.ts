import { writeUnsignedJwt } from "../../../src/access-proxy/index.ts";
import type { Json } from "../wire/json-http.ts";
import type { Redeemed, ToldAccount } from "./redeem.ts";

/** Fields that a content handler learns of a call from, names and values in turn. */
export type AuthFields = readonly string[];

/** Members of `X-Auth-User` that the receiver itself fills. */
const OWN: ReadonlySet<string> = new Set(["sub", "iss", "at_tag", "at_exp"]);

function identity({ claims, issuer }: ToldAccount): Record<string, unknown> {
  return { sub: claims["sub"], iss: issuer };
}

function further({ claims }: ToldAccount): Json {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !OWN.has(name)));
}

/**
 * What is said of a call to the content handler.
 *
 * @param atTag handle of the new access token
 * @see TA cooperation, section 8.4
 */
export function authFields(
  { principal, related, token }: Redeemed,
  atTag: string,
  fromTa: string,
): AuthFields {
  const user = {
    ...identity(principal),
    at_tag: atTag,
    at_exp: Math.floor(token.expiresAtMs / 1_000),
    ...further(principal),
  };
  const users = Object.fromEntries(
    related.map((account) => [account.tag, { ...identity(account), ...further(account) }]),
  );
  return [
    "X-Auth-User",
    writeUnsignedJwt(user),
    "X-Auth-User-Tag",
    principal.tag,
    ...(related.length === 0 ? [] : ["X-Auth-Users", writeUnsignedJwt(users)]),
    "X-Auth-From-Id",
    fromTa,
  ];
}

/** Whether nothing is said of the related accounts but who they are: what may outlive the call in a session. Section 8.5. */
export function isOnlyIdentity(related: readonly ToldAccount[]): boolean {
  return related.every((account) => Object.keys(further(account)).length === 0);
}
