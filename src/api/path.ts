/**
 * The one decision about a request target, taken before anything else looks at it.
 *
 * A path has one spelling here: nothing is normalised, what could be read in two ways is refused. What follows the
 * prefix of a tail route goes to a device byte for byte, so that only what could climb out of it is refused there.
 */

/** Why a target is refused. For the log; the client is told `bad_path`. */
export type PathFault =
  | "not_origin_form"
  | "too_long"
  | "character"
  | "dot_segment"
  | "empty_segment"
  | "encoding";

export type PathDecision =
  | {
      readonly ok: true;
      /** As received, without the query. */
      readonly path: string;
      /** After the first `?`, as received; "" where there is none. */
      readonly query: string;
      /** Where the tail begins in `path`, or its length. */
      readonly tailStart: number;
    }
  | { readonly ok: false; readonly fault: PathFault };

/** Finds where the tail of a tail route begins in a path; -1 where it is none. */
export type FindTail = (path: string) => number;

/** Visible ASCII without what RFC 3986 keeps out of paths, and without `;`, which servers read in two ways. */
const PATH_CHARACTERS = /^[!$-:=@A-Z_a-z~]*$/;
/** In a tail `;` and the characters that lax clients leave raw pass. */
const TAIL_CHARACTERS = /^[!-~]*$/;
const QUERY_CHARACTERS = /^[!-"$-~]*$/;
/** Slash, backslash, percent itself, `;` and controls, which must not be hidden in our own part. */
const HIDDEN = /%(?:2f|5c|25|3b|[01][0-9a-f]|7f)/i;
const BROKEN_ESCAPE = /%(?![0-9a-f]{2})/i;
/** The same two rules as the relay has for what it forwards. */
const BACKSLASH_OR_NUL = /\\|%5c|%00/i;
const DOT_SEGMENT = /(?:^|\/|\\|%2f|%5c)(?:\.|%2e){1,2}(?:\/|\\|%2f|%5c|$)/i;

/**
 * Decides a request target.
 *
 * @param target as it stands in the request line
 * @param bytesMax longest target that is taken
 * @see RFC 9112, section 3.2.1
 */
export function decidePath(target: string, bytesMax: number, findTail: FindTail): PathDecision {
  if (target.length > bytesMax) return refuse("too_long");
  if (!target.startsWith("/")) return refuse("not_origin_form");
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? "" : target.slice(mark + 1);
  if (query !== "" && !QUERY_CHARACTERS.test(query)) return refuse("character");
  if (DOT_SEGMENT.test(path)) return refuse("dot_segment");
  const found = findTail(path);
  const tailStart = found < 0 ? path.length : found;
  const fault = faultOfOwn(path.slice(0, tailStart)) ?? faultOfTail(path.slice(tailStart));
  return fault === null ? { ok: true, path, query, tailStart } : refuse(fault);
}

function refuse(fault: PathFault): PathDecision {
  return { ok: false, fault };
}

function faultOfOwn(own: string): PathFault | null {
  if (!PATH_CHARACTERS.test(own)) return "character";
  if (own.includes("//")) return "empty_segment";
  if (!own.includes("%")) return null;
  if (HIDDEN.test(own)) return "encoding";
  try {
    decodeURIComponent(own);
  } catch {
    return "encoding";
  }
  return null;
}

function faultOfTail(tail: string): PathFault | null {
  if (!TAIL_CHARACTERS.test(tail) || tail.includes("#")) return "character";
  if (!tail.includes("%") && !tail.includes("\\")) return null;
  return BROKEN_ESCAPE.test(tail) || BACKSLASH_OR_NUL.test(tail) ? "encoding" : null;
}
