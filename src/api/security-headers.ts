/** What an answer is, as far as the browser's rules for it differ. */
export type AnswerKind = "api" | "html";

const CSP = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'";

/** Names of the fields that {@link securityHeaders} may give, for handlers that must not loosen them. */
export type SecurityHeaders = Readonly<Record<string, string>>;

/**
 * The fields that every answer carries, errors and those before routing included. Nothing may be cached unless a
 * public route says otherwise.
 *
 * @param isHttps whether the configured base URL is https; the request itself is not asked
 * @param styleHashes `sha256-…` of each style element of a page
 */
export function securityHeaders(
  kind: AnswerKind,
  isHttps: boolean,
  styleHashes: readonly string[] = [],
): SecurityHeaders {
  const styles = styleHashes.map((hash) => `'${hash}'`).join(" ");
  return {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": styles === "" ? CSP : `${CSP}; style-src ${styles}`,
    ...(kind === "html" ? { "cross-origin-opener-policy": "same-origin" } : {}),
    ...(isHttps ? { "strict-transport-security": "max-age=31536000; includeSubDomains" } : {}),
    "cache-control": "no-store",
  };
}
