import { AccessProxyError } from "./errors.ts";
import { checkLiteral } from "./guarded-lookup.ts";
import type { Target } from "./target.ts";

/** One entry of the allowlist. */
export interface Destination {
  /** Scheme, host and port as `URL.origin` writes them. */
  readonly origin: string;
  /** Id of the TA that lives there. */
  readonly taId: string;
  /** Where its paths begin: `/` and whole segments. */
  readonly pathPrefix: string;
  /** Plain HTTP is taken too. */
  readonly allowHttp: boolean;
  /** The name may lead to an address that is not public. */
  readonly allowPrivate: boolean;
  /** Id of the device that serves the origin, behind a relay; null where it is reached by its address. */
  readonly device: string | null;
}

/** Which destinations may be called: those listed, or any at all. Read at each call, so that a list may change meanwhile. */
export interface DestinationPolicy {
  readonly destinations: readonly Destination[];
  /** For tests alone: any origin, any TA, any address. */
  readonly allowAny: boolean;
}

/** Whether a path lies at or below a prefix that ends at a segment's border. */
function isBelow(path: string, prefix: string): boolean {
  if (!path.startsWith(prefix)) return false;
  return prefix.endsWith("/") || path.length === prefix.length || path[prefix.length] === "/";
}

/**
 * An encoded separator or dot, encoded once or again, or a dot segment, with a parameter or without: a server behind that decodes, or
 * that takes parameters off, would see another path than the one that was checked.
 */
const HIDDEN_SEPARATOR = /%(?:25)*(?:2f|5c|2e)|\/\.\.?(?:[;/]|$)/i;

/** The path as servers may read it; null where readers could differ. */
export function settledPath(path: string): string | null {
  return HIDDEN_SEPARATOR.test(path) || path.includes("//") ? null : path;
}

/**
 * The entry that allows a target.
 *
 * @throws AccessProxyError row E3
 * @see TA cooperation, section 14.2
 */
export function findDestination(
  { destinations, allowAny }: DestinationPolicy,
  { url, toTaId }: Target,
): Destination {
  const { origin, protocol, pathname } = url;
  for (const entry of destinations) {
    if (entry.origin !== origin || entry.taId !== toTaId) continue;
    if (protocol !== "https:" && !entry.allowHttp) continue;
    if (entry.pathPrefix !== "/") {
      const path = settledPath(pathname);
      if (path === null || !isBelow(path, entry.pathPrefix)) continue;
    }
    // Whether a name leads to a closed address is seen when it is resolved, still before anybody is asked.
    if (!entry.allowPrivate && entry.device === null) checkLiteral(url.hostname);
    return entry;
  }
  if (!allowAny) throw new AccessProxyError("ERR_ACCESS_PROXY_DESTINATION");
  return {
    origin,
    taId: toTaId,
    pathPrefix: "/",
    allowHttp: true,
    allowPrivate: true,
    device: null,
  };
}
