import type { IncomingMessage } from "node:http";
import type { Asker } from "../ports.ts";
import { fieldOf } from "../request-fields.ts";

/** Who asks, and nothing else of the request. */
export function askerOf({ requestId, address, userAgent }: Asker): Asker {
  return { requestId, address, userAgent };
}

/**
 * Whether a browser fetches this ahead of a click that may never come: what can be used once must not be used up.
 *
 * @see Fetch standard, `Sec-Purpose`
 */
export function isPrefetch(request: IncomingMessage): boolean {
  return /\bprefetch\b|\bpreview\b/i.test(
    `${fieldOf(request, "sec-purpose")} ${fieldOf(request, "purpose")}`,
  );
}

/** What follows the `?`, as it came. */
export function queryTextOf(request: IncomingMessage): string {
  const target = request.url ?? "";
  const at = target.indexOf("?");
  return at < 0 ? "" : target.slice(at + 1);
}

/** The value of a parameter that stands once; null for none and for several. */
export function onlyValue(parameters: URLSearchParams, name: string): string | null {
  const [value, ...others] = parameters.getAll(name);
  return value === undefined || others.length > 0 ? null : value;
}

/** Whether a program asks: it takes JSON and no page. */
export function wantsJson(request: IncomingMessage): boolean {
  const accept = fieldOf(request, "accept");
  return /\bapplication\/(?:[\w.]+\+)?json\b/i.test(accept) && !/\btext\/html\b/i.test(accept);
}

const FAMILIES: readonly (readonly [RegExp, string])[] = [
  [/\bEdgA?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bFirefox\//, "Firefox"],
  [/\b(?:Headless)?Chrom(?:e|ium)\//, "Chrome"],
  [/\bVersion\/[\d.]+.*\bSafari\//, "Safari"],
  [/^curl\//, "curl"],
];
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\bAndroid\b/, "Android"],
  [/\b(?:iPhone|iPad)\b/, "iOS"],
  [/\bWindows\b/, "Windows"],
  [/\bMac OS X\b/, "macOS"],
  [/\bLinux\b/, "Linux"],
];

/** A browser's family and system, such as `Firefox on Linux`: enough to know one's sessions apart. */
export function userAgentFamily(userAgent: string): string | null {
  if (userAgent === "") return null;
  const family = FAMILIES.find(([pattern]) => pattern.test(userAgent))?.[1] ?? "Another browser";
  const system = SYSTEMS.find(([pattern]) => pattern.test(userAgent))?.[1];
  return system === undefined ? family : `${family} on ${system}`;
}
