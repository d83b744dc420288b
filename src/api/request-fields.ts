import type { IncomingMessage } from "node:http";
import { apiError } from "./errors.ts";

/** Fields on which a decision rests and that may stand once. Node would silently take the first, or join them. */
const SINGLE_FIELDS: readonly string[] = [
  "authorization",
  "host",
  "origin",
  "content-type",
  "content-length",
  "content-encoding",
  "transfer-encoding",
  "expect",
  "sec-fetch-site",
  "sec-fetch-dest",
  "x-hawser-csrf",
  "x-request-id",
  "access-control-request-method",
  "access-control-request-headers",
];

/** The same by their lengths, so that most names need not be looked up, each with a bit of its own. */
const SINGLE_BITS = new Map(SINGLE_FIELDS.map((name, at) => [name, 1 << at]));
const SINGLE_LENGTHS: readonly boolean[] = Array.from({ length: 64 }, (_, length) =>
  SINGLE_FIELDS.some((name) => name.length === length),
);

/**
 * Refuses a head that could be read in two ways.
 *
 * @throws ApiError `head_too_large`, `duplicate_field`, `bad_request`, `transfer_coding`
 * @see RFC 9112, sections 3.2 and 6.1
 */
export function checkFields(request: IncomingMessage, fieldsMax: number): void {
  const { rawHeaders, headers, httpVersion } = request;
  // Node's parser takes 0.9, which has no fields, and 2.0, which is written otherwise.
  if (httpVersion !== "1.1" && httpVersion !== "1.0") throw apiError("bad_request");
  if (rawHeaders.length / 2 > fieldsMax) throw apiError("head_too_large");
  let seen = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? "";
    if (SINGLE_LENGTHS[name.length] !== true) continue;
    const bit = SINGLE_BITS.get(name.toLowerCase()) ?? 0;
    if ((seen & bit) !== 0) throw apiError("duplicate_field");
    seen |= bit;
  }
  if (headers.host === undefined && httpVersion === "1.1") throw apiError("bad_request");
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && coding.toLowerCase() !== "chunked") throw apiError("transfer_coding");
}

/** The value of a field that {@link checkFields} found at most once; "" where there is none. */
export function fieldOf(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return typeof value === "string" ? value : "";
}

/** All lines of a field in their order, joined by commas; "" where there is none. */
export function linesOf(request: IncomingMessage, name: string): string {
  return (request.headersDistinct[name] ?? []).join(",");
}

/** Whether the head announces a body of at least one byte. */
export function hasBody(request: IncomingMessage): boolean {
  if (request.headers["transfer-encoding"] !== undefined) return true;
  return Number(request.headers["content-length"] ?? 0) > 0;
}

/** The media type alone, in lower case; "" where none is given. */
export function mediaTypeOf(request: IncomingMessage): string {
  const [type = ""] = fieldOf(request, "content-type").split(";");
  return type.trim().toLowerCase();
}
