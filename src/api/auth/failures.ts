import { ApiError } from "../errors.ts";
import { OidcError } from "../oidc/index.ts";
import type { Asker } from "../ports.ts";
import { problemOf } from "../problem.ts";
import type { Reply } from "../reply.ts";
import { type Call, type Route, type RouteDeclaration, route } from "../route.ts";
import { StoreLimitError } from "../store/index.ts";
import { AUTH_ERRORS, type AuthErrorCode } from "./errors.ts";
import type { Failure } from "./pages.ts";
import type { AuthParts } from "./parts.ts";
import { askerOf, wantsJson } from "./requests.ts";

/** What a provider that does not answer is to whoever would begin a sign-in. */
const AWAY = "ERR_OIDC_IDP_UNREACHABLE";

/** A call without a checked query or body. */
export type OpenCall = Call;

/** Of {@link AUTH_ERRORS}. */
export function authFailure(code: AuthErrorCode, retryAfter = 0): Failure {
  return { code, row: AUTH_ERRORS[code], retryAfter };
}

/**
 * What an error of a sign-in is to a person.
 *
 * @param storeFailure what the store threw beneath it, null for nothing
 */
export function failureOf(error: unknown, storeFailure: unknown, parts: AuthParts): Failure {
  if (storeFailure instanceof StoreLimitError) return authFailure("too_many_sign_ins", 30);
  if (storeFailure !== null) throw parts.sessions.unavailable(storeFailure);
  if (!(error instanceof OidcError)) throw error;
  return { code: error.row.word, row: error.row, retryAfter: error.row.retryAfter };
}

/** The same of a sign-in that cannot begin: a provider that is silent is one that is away, and may be back soon. */
export function startFailureOf(error: unknown, storeFailure: unknown, parts: AuthParts): Failure {
  const isSilent = error instanceof OidcError && error.code === "ERR_OIDC_IDP_TIMEOUT";
  return failureOf(isSilent ? new OidcError(AWAY) : error, storeFailure, parts);
}

/** The failure as a page, or as a problem for a program. */
export function failureReply(failure: Failure, call: OpenCall, parts: AuthParts): Reply {
  if (!wantsJson(call.request)) return parts.pages.failure(failure, call.requestId);
  const { code, row, retryAfter } = failure;
  const error = new ApiError(
    code,
    { status: row.status, retriable: retryAfter > 0, text: row.text },
    { retryAfter },
  );
  const { status, headers, body } = problemOf(error, call.requestId);
  return { kind: "text", status, text: body, mediaType: "application/problem+json", headers };
}

/** 429 where an address does something too often; null where it may. */
export function refusalByLimit(
  limit: "logins" | "callbacks",
  call: OpenCall,
  parts: AuthParts,
): Reply | null {
  const retryAfter = parts.limits[limit].take(call.address);
  if (retryAfter === 0) return null;
  tellLimit(limit, call, parts);
  return failureReply(authFailure("too_many_attempts", retryAfter), call, parts);
}

/** The stream alone: whoever floods would otherwise write a row each time. */
export function tellLimit(limit: string, asker: Asker, { context }: AuthParts): void {
  context.audit.tell({
    event: "excess_rate_limit_exceeded",
    tenant: null,
    asker: askerOf(asker),
    actor: null,
    detail: { reason: limit },
  });
}

const PAGE = { description: "A page that says what went wrong.", mediaType: "text/html" };

/** Statuses of failures that a sign-in may end with. */
export const FAILURE_PAGES = {
  400: PAGE,
  403: PAGE,
  429: PAGE,
  500: PAGE,
  502: PAGE,
  503: PAGE,
  504: PAGE,
} as const;

type PageDeclaration = Omit<
  RouteDeclaration<undefined, undefined, undefined>,
  "method" | "class" | "scope" | "role" | "probe" | "reason"
> & { readonly reason: string };

/** Declares a `GET` that answers with a page. */
export function page(declaration: PageDeclaration): Route {
  return route({ ...declaration, method: "GET", class: "page" });
}
