import { withoutDotSegments } from "../core/url-path.ts";
import { AccessProxyError } from "./errors.ts";

/** Where a call goes. */
export interface Target {
  /** Without user info and fragment; host in lower case, default port left out. */
  readonly url: URL;
  /** Id of the TA that is called. */
  readonly toTaId: string;
}

/** A field that may be there once at the most, of all its values in a request. */
function single(values: readonly string[]): string {
  if (values.length > 1) throw new AccessProxyError("ERR_ACCESS_PROXY_TARGET");
  return values[0] ?? "";
}

/** What RFC 3986 lets a URI hold; the URL standard would quietly take out tabs and encode blanks. */
const URI = /^https?:\/\/[^/?#\\@][\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]*$/i;

/**
 * Reads `X-Access-Proxy-To` and `X-Access-Proxy-To-Id`, each with all values that the request has of it.
 *
 * @throws AccessProxyError rows E1 and E2
 * @see TA cooperation, section 4.2
 */
export function readTarget(to: readonly string[], toId: readonly string[]): Target {
  const text = single(to);
  if (text === "") throw new AccessProxyError("ERR_ACCESS_PROXY_NO_TARGET");
  if (!URI.test(text) || !URL.canParse(text)) throw new AccessProxyError("ERR_ACCESS_PROXY_TARGET");
  const url = new URL(text);
  if (url.username !== "" || url.password !== "" || /^https?:\/\/[^/?#]*@/i.test(text)) {
    throw new AccessProxyError("ERR_ACCESS_PROXY_TARGET");
  }
  url.hash = "";
  const settled = withoutDotSegments(url.pathname);
  if (settled !== url.pathname) url.pathname = settled;
  const id = single(toId);
  return { url, toTaId: id === "" ? url.origin : id };
}
