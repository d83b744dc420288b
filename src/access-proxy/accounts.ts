import { AccessProxyError } from "./errors.ts";
import { isObject, readUnsignedJwt } from "./unsigned-jwt.ts";

/** The signed-in user in whose name a call is made. */
export interface Principal {
  readonly tag: string;
  /** Handle of the user's access token in the token store. */
  readonly atTag: string;
}

/** Another account that a call is about. */
export interface RelatedAccount {
  readonly tag: string;
  /** Id of the ID provider that the account belongs to. */
  readonly iss: string;
  /** The account's id there, as shown to this TA. */
  readonly sub: string;
}

/** Whom a call concerns. */
export interface Accounts {
  readonly principal: Principal;
  /** In the order of their claims. */
  readonly related: readonly RelatedAccount[];
}

export const ACCOUNTS_MAX = 32;
export const TAG_CHARACTERS_MAX = 128;
/** Of `at_tag`, `iss` and `sub`. */
export const ACCOUNT_FIELD_CHARACTERS_MAX = 1_024;

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

interface Info {
  readonly tag: string;
  readonly atTag: string;
  readonly iss: string;
  readonly sub: string;
}

function isTag(tag: string): boolean {
  return tag.length >= 1 && tag.length <= TAG_CHARACTERS_MAX && !CONTROL.test(tag);
}

/** Whether all that is said of an account keeps to the limits. */
function isWithin({ tag, atTag, iss, sub }: Info): boolean {
  const isShort = (text: string) => text.length <= ACCOUNT_FIELD_CHARACTERS_MAX;
  return isTag(tag) && isShort(atTag) && isShort(iss) && isShort(sub);
}

/** A field of an account: absent and empty are one, anything but a string is malformed. */
function field(info: Readonly<Record<string, unknown>>, name: string): string {
  const value = info[name] ?? "";
  if (typeof value !== "string") throw new AccessProxyError("ERR_ACCESS_PROXY_USERS");
  return value;
}

/**
 * Reads the value of `X-Access-Proxy-Users`. Exactly one account has an `at_tag`, the principal; all others have `iss` and
 * `sub`. Fields of other names are ignored.
 *
 * @param value the field's value, or undefined where there is no such field
 * @throws AccessProxyError rows E4 to E10
 * @see TA cooperation, section 4.2
 */
export function readAccounts(value: string | undefined): Accounts {
  if (value === undefined || value === "") throw new AccessProxyError("ERR_ACCESS_PROXY_NO_USERS");
  const jwt = readUnsignedJwt(value);
  if (!jwt.ok) {
    throw new AccessProxyError(
      jwt.fault === "signed" ? "ERR_ACCESS_PROXY_USERS_SIGNED" : "ERR_ACCESS_PROXY_USERS",
    );
  }
  const entries = Object.entries(jwt.claims);
  const infos = entries.map(([tag, info]): Info => {
    if (!isObject(info)) throw new AccessProxyError("ERR_ACCESS_PROXY_USERS");
    return { tag, atTag: field(info, "at_tag"), iss: field(info, "iss"), sub: field(info, "sub") };
  });
  for (const { tag, atTag, iss, sub } of infos) {
    if (atTag !== "") continue;
    if (iss === "") throw new AccessProxyError("ERR_ACCESS_PROXY_NO_ISS", [tag]);
    if (sub === "") throw new AccessProxyError("ERR_ACCESS_PROXY_NO_SUB", [tag]);
  }
  const principals = infos.filter(({ atTag }) => atTag !== "");
  const [principal] = principals;
  if (principal === undefined) throw new AccessProxyError("ERR_ACCESS_PROXY_NO_PRINCIPAL");
  if (principals.length > 1) throw new AccessProxyError("ERR_ACCESS_PROXY_TWO_PRINCIPALS");
  if (infos.length > ACCOUNTS_MAX) throw new AccessProxyError("ERR_ACCESS_PROXY_ACCOUNTS_MAX");
  if (!infos.every(isWithin)) throw new AccessProxyError("ERR_ACCESS_PROXY_TAG");
  return {
    principal: { tag: principal.tag, atTag: principal.atTag },
    related: infos
      .filter(({ atTag }) => atTag === "")
      .map(({ tag, iss, sub }) => ({ tag, iss, sub })),
  };
}
