import { z } from "zod";
import { ADMIN_SCOPES, ALL_SCOPES, SCOPES, type Scope } from "../scopes.ts";

/** Days that a key of the command line lives, where it asks for no other number. */
export const KEY_DAYS_DEFAULT = 90;
export const KEY_DAYS_MAX = 366;

/** What the command line asks for, in the query of the page. */
export const CLI_LOGIN_QUERY = z.object({
  redirect_uri: z.string().max(256).refine(isLoopbackRedirect),
  /** RFC 7636, section 4.2: SHA-256 in base64url. */
  code_challenge: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  code_challenge_method: z.literal("S256"),
  state: z.string().regex(/^[A-Za-z0-9_-]{22,128}$/),
  /** What the key is called. */
  name: z.string().regex(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,64}$/u),
  /** Scopes with spaces between them; all that the person may give where it is left out. */
  scope: z.string().max(256).optional(),
  days: z
    .string()
    .regex(/^[1-9][0-9]{0,2}$/)
    .refine((days) => Number(days) <= KEY_DAYS_MAX)
    .optional(),
});

export type CliLoginQuery = z.output<typeof CLI_LOGIN_QUERY>;

/**
 * Whether a program on the browser's own machine listens there: an address of loopback by number with a port and a plain
 * path, and nothing else. `localhost` is not taken: it may resolve to something else.
 *
 * @see RFC 8252, sections 7.3 and 8.3
 */
export function isLoopbackRedirect(text: string): boolean {
  const match = /^http:\/\/(?:127\.0\.0\.1|\[::1\]):([1-9][0-9]{0,4})\/[A-Za-z0-9_-]{0,128}$/.exec(
    text,
  );
  return match !== null && Number(match[1]) <= 65_535;
}

/** What a key will be allowed, and what was asked for and is not the person's to give. */
export interface GrantedScopes {
  readonly granted: readonly Scope[];
  readonly withheld: readonly Scope[];
}

/** Null where a scope is asked for that there is not. */
export function grantedScopes(
  asked: string | undefined,
  role: "member" | "admin",
): GrantedScopes | null {
  const names = asked === undefined ? ALL_SCOPES : asked.split(" ").filter((name) => name !== "");
  if (!names.every((name): name is Scope => Object.hasOwn(SCOPES, name))) return null;
  const wanted = ALL_SCOPES.filter((scope) => names.includes(scope));
  const isTheirs = (scope: Scope): boolean => role === "admin" || !ADMIN_SCOPES.has(scope);
  return {
    granted: wanted.filter(isTheirs),
    withheld: asked === undefined ? [] : wanted.filter((scope) => !isTheirs(scope)),
  };
}
