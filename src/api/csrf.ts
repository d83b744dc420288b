import type { IncomingMessage } from "node:http";
import { FORM_TYPE } from "./body.ts";
import { fieldOf, hasBody, mediaTypeOf } from "./request-fields.ts";

/** Which origins are whose. */
export interface Origins {
  /** The origin of the base URL. */
  readonly own: string;
  /** Configured origins of applications on other hosts. */
  readonly others: ReadonlySet<string>;
}

/** Which rule a request broke: for the audit log. */
export type CsrfFault = "header" | "origin" | "fetch_site" | "media_type";

const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);
/** What a page may load a cross-origin URL as, without asking. */
const EMBEDDING_DESTS: ReadonlySet<string> = new Set([
  "script",
  "image",
  "style",
  "object",
  "embed",
  "font",
  "audio",
  "video",
  "track",
  "audioworklet",
  "paintworklet",
  "serviceworker",
  "sharedworker",
  "worker",
]);

/** Whether a method must not change anything. A method in a header or parameter is never looked at. */
export function isSafe(method: string): boolean {
  return SAFE_METHODS.has(method);
}

/**
 * Checks a request with an unsafe method that a cookie authenticates. All rules must hold:
 *
 * - `X-Hawser-CSRF: 1`, which a form cannot send and a script of another origin only after a pre-flight;
 * - `Origin`, if sent, is ours or a configured one; `null` is neither;
 * - `Sec-Fetch-Site`, if sent, is `same-origin` or `none`, or `Origin` is a configured one;
 * - the body, if any, is of a type that the route lists.
 *
 * @param mediaTypes those that the route lists; JSON where it lists none
 */
export function csrfFault(
  request: IncomingMessage,
  origins: Origins,
  mediaTypes: readonly string[],
): CsrfFault | null {
  if (fieldOf(request, "x-hawser-csrf") !== "1") return "header";
  const origin = request.headers.origin;
  const isOther = origin !== undefined && origins.others.has(origin);
  if (origin !== undefined && origin !== origins.own && !isOther) return "origin";
  const site = request.headers["sec-fetch-site"];
  const isNear = site === undefined || site === "same-origin" || site === "none";
  if (!isNear && !isOther) return "fetch_site";
  if (hasBody(request) && !mediaTypes.includes(mediaTypeOf(request))) return "media_type";
  return null;
}

/**
 * Whether a request is a plain HTML form of one of our own pages, for routes that a person must be able to use without a
 * script: a form cannot send the header. `Origin` is ours, `Sec-Fetch-Site` is there and says the same, and the body,
 * if any, is a form's. A page that has such a form needs `<meta name="referrer" content="same-origin">`, or its
 * `Origin` would be `null`.
 */
export function isOwnForm(request: IncomingMessage, origins: Origins): boolean {
  if (fieldOf(request, "x-hawser-csrf") !== "") return false;
  if (hasBody(request) && mediaTypeOf(request) !== FORM_TYPE) return false;
  const site = fieldOf(request, "sec-fetch-site");
  return fieldOf(request, "origin") === origins.own && site === "same-origin";
}

/**
 * Checks a read that a cookie authenticates: another site may not have it, and nobody as a script, an image or the
 * like. Configured origins read by CORS.
 */
export function isForeignRead(request: IncomingMessage, origins: Origins): boolean {
  if (EMBEDDING_DESTS.has(fieldOf(request, "sec-fetch-dest"))) return true;
  const isOther = origins.others.has(fieldOf(request, "origin"));
  return fieldOf(request, "sec-fetch-site") === "cross-site" && !isOther;
}
