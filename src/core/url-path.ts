/** A segment of one dot or two, encoded or not. */
const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?:\/|$)/i;

/**
 * A URL's path without dot segments, as every other reader of the URL will take it. `URL` of Node 20 leaves them where an earlier
 * segment begins with a dot, as in `/.a/../b`; where it has taken them out, this changes nothing.
 *
 * @param pathname as `URL.pathname` has it
 * @see URL Standard, section 4.4, "path state"
 */
export function withoutDotSegments(pathname: string): string {
  if (!DOT_SEGMENT.test(pathname)) return pathname;
  const kept: string[] = [];
  const segments = pathname.split("/").slice(1);
  for (const [index, segment] of segments.entries()) {
    const dots = segment.replace(/%2e/gi, ".");
    if (dots !== "." && dots !== "..") {
      kept.push(segment);
      continue;
    }
    if (dots === "..") kept.pop();
    if (index === segments.length - 1) kept.push("");
  }
  return `/${kept.join("/")}`;
}
