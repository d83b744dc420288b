/**
 * Names of fields as the receiving side may read them: servers that hand fields on as variables make `_` of every
 * character that is neither letter nor digit, so all spellings of one name are one.
 */
import { isToken } from "../../core/http1/rules.ts";

/** Names that are remembered; clients choose them, so there is a limit. */
const NAMES_MAX = 1_000;

/** A rule on names that costs a Map look-up for those that were seen. */
export class NameRule {
  readonly #decide: (plain: string) => boolean;
  readonly #known = new Map<string, boolean>();

  /** @param decide gets the name in lower case, with "-" for whatever is neither letter nor digit */
  constructor(decide: (plain: string) => boolean) {
    this.#decide = decide;
  }

  /** @param name as it was sent */
  passes(name: string): boolean {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const plain = name.toLowerCase().replace(/[^0-9a-z]/g, "-");
    const passes = isToken(name) && this.#decide(plain);
    if (this.#known.size >= NAMES_MAX) this.#known.clear();
    this.#known.set(name, passes);
    return passes;
  }
}

/** Of one connection alone, and framing, which each hop does by itself. RFC 9110, section 7.6.1. */
const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
];

const NOT_TO_DEVICES: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  // Said anew by us.
  "host",
  "content-length",
  "expect",
  "x-request-id",
  // The caller's credentials and the session are ours alone.
  "authorization",
  "cookie",
  "cookie2",
  "forwarded",
]);

/** Which fields of a request a device gets to see. */
export const requestNames = new NameRule(
  (name) => !NOT_TO_DEVICES.has(name) && !/^(?:x-hawser|x-forwarded|proxy)(?:-|$)/.test(name),
);

/**
 * What a device says must not speak for our origin, which is that of the API: no cookies, no policies, no permissions for
 * other sites, nothing that a browser, a cache or a proxy in front of us would obey for other paths than the device's.
 */
const NOT_FROM_DEVICES: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  // Said by the hop that writes the answer.
  "content-length",
  "date",
  "set-cookie",
  "set-cookie2",
  "set-login",
  "clear-site-data",
  "service-worker-allowed",
  "strict-transport-security",
  "public-key-pins",
  "public-key-pins-report-only",
  "expect-ct",
  "refresh",
  "alt-svc",
  "nel",
  "report-to",
  "reporting-endpoints",
  "accept-ch",
  "critical-ch",
  "origin-trial",
  "origin-agent-cluster",
  "activate-storage-access",
  "speculation-rules",
  "supports-loading-mode",
  "use-as-dictionary",
  "timing-allow-origin",
  "www-authenticate",
  "authentication-info",
  "server",
  "x-powered-by",
  "x-sendfile",
  "x-lighttpd-send-file",
  "x-reproxy-url",
  "surrogate-control",
  // Said by us on every answer.
  "content-security-policy",
  "content-security-policy-report-only",
  "x-content-type-options",
  "referrer-policy",
  "cache-control",
  "vary",
  "x-request-id",
  // Checked, and written anew.
  "location",
  "content-location",
]);

/** Which fields of a device's answer pass unchanged. */
export const answerNames = new NameRule(
  (name) =>
    !NOT_FROM_DEVICES.has(name) &&
    !/^(?:access-control|cross-origin|proxy|ratelimit|sec|x-accel|x-hawser)(?:-|$)/.test(name) &&
    !name.endsWith("cdn-cache-control"),
);
