import type { IncomingMessage } from "node:http";
import { fieldOf } from "./request-fields.ts";

const REQUEST_HEADERS = "Authorization, Content-Type, X-Hawser-CSRF, X-Request-Id";
const EXPOSED_HEADERS =
  "X-Request-Id, Retry-After, WWW-Authenticate, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset";
/** A browser asks again after ten minutes, the longest that all of them keep an answer. */
const MAX_AGE_SECONDS = 600;

/** Whether the request is a pre-flight, which is answered without a handler and without credentials. */
export function isPreflight(request: IncomingMessage): boolean {
  return (
    request.method === "OPTIONS" &&
    request.headers.origin !== undefined &&
    request.headers["access-control-request-method"] !== undefined
  );
}

/**
 * Fields by which a configured origin, compared as a whole, may read an answer. Without a configured origin there are
 * none, and never a `*`. `Vary` is for the caller to set.
 *
 * @param allow methods of the path, for a pre-flight; "" for other requests
 */
export function corsHeaders(
  request: IncomingMessage,
  origins: ReadonlySet<string>,
  allow: string,
): Readonly<Record<string, string>> {
  const origin = fieldOf(request, "origin");
  if (origin === "" || origin === "null" || !origins.has(origin)) return {};
  const shared = {
    "access-control-allow-origin": origin,
    "access-control-allow-credentials": "true",
  };
  if (allow === "") return { ...shared, "access-control-expose-headers": EXPOSED_HEADERS };
  return {
    ...shared,
    "access-control-allow-methods": allow,
    "access-control-allow-headers": REQUEST_HEADERS,
    "access-control-max-age": String(MAX_AGE_SECONDS),
  };
}
