import { withoutDotSegments } from "../../core/url-path.ts";

const ALLOWED = /^\/(?![/\\])[\x21-\x7e]{0,2047}$/;
const DECODE_ROUNDS = 3;

/**
 * Reads where a person wants to go after signing in. Pure.
 *
 * Null for everything but a path on our own origin that lies outside of `/api/auth/`. Encoded control characters and
 * backslashes in the path, and paths that turn into `//host` when something behind us decodes or resolves them, are
 * refused too: `/..//evil.example` has our origin and the path `//evil.example`.
 *
 * @param value as it came, of any type
 * @param publicBaseUrl our own origin
 * @see RFC 9700, section 4.11
 */
export function readReturnTo(value: unknown, publicBaseUrl: string): URL | null {
  if (typeof value !== "string" || !ALLOWED.test(value) || value.includes("\\")) return null;
  const base = new URL(publicBaseUrl);
  if (!URL.canParse(value, publicBaseUrl)) return null;
  const url = new URL(value, base);
  if (url.origin !== base.origin || url.username !== "" || url.password !== "") return null;
  return isPlainPath(url.pathname) ? url : null;
}

/** The same as an absolute URL to send in `Location`; the start page for what {@link readReturnTo} refuses. */
export function returnToUrl(value: unknown, publicBaseUrl: string): string {
  return (readReturnTo(value, publicBaseUrl) ?? new URL("/", publicBaseUrl)).href;
}

/** Decodes as often as proxies and frameworks might, and looks at each reading. */
function isPlainPath(pathname: string): boolean {
  let reading = pathname;
  for (let round = 0; round <= DECODE_ROUNDS; round++) {
    if (!isPlainReading(reading)) return false;
    const decoded = decodeOnce(reading);
    if (decoded === null) return false;
    if (decoded === reading) return true;
    reading = decoded;
  }
  // Still something to decode: nobody encodes a path so often in earnest.
  return false;
}

function isPlainReading(reading: string): boolean {
  if (reading.includes("\\") || hasControl(reading)) return false;
  // A URL resolves dot segments, those that only show after decoding included.
  const resolved = withoutDotSegments(new URL(`http://x${encodeURI(reading)}`).pathname);
  if (resolved.startsWith("//")) return false;
  return !/^\/+api\/+auth(?:[/;]|$)/i.test(resolved) && !/^\/+api\/+auth(?:[/;]|$)/i.test(reading);
}

function hasControl(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}

function decodeOnce(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
