import type { HttpError } from "../../core/errors.ts";
import { isToken } from "../../core/http1/rules.ts";
import { requestError } from "./errors.ts";
import { RequestFields } from "./request-fields.ts";

/** What this hop says about itself and the client. */
export interface RequestHop {
  /** `Host` as the device sees it. */
  readonly host: string;
  /** Address of the client as we see it, without port. */
  readonly clientAddress: string;
  readonly proto: "http" | "https";
  /** What was stripped from the path, for example `/d/<device>`; empty for nothing. */
  readonly forwardedPrefix: string;
  /** Pass `Authorization` on: the client identified itself by `Proxy-Authorization`. */
  readonly forwardAuthorization: boolean;
  /** The client is a trusted proxy: what it says of those before it is kept and added to. */
  readonly trustForwarded: boolean;
  /** Visible ASCII. */
  readonly requestId: string;
}

const TARGET_CHARACTERS_MAX = 16_384;
const NOT_VISIBLE = /[^\x21-\x7e]/;
/** A backslash or NUL, raw or encoded. */
const BACKSLASH_OR_NUL = /\\|%5c|%00/i;
/** A segment of one or two dots, dots and slashes raw or encoded. */
const DOT_SEGMENT = /(?:^|\/|%2f)(?:\.|%2e){1,2}(?:\/|%2f|$)/i;

const SLASH = 0x2f;
const DOT = 0x2e;
const QUESTION = 0x3f;
const PERCENT = 0x25;
const BACKSLASH = 0x5c;

/**
 * Checks a request target in origin form. The path may have no dot segment, NUL or backslash, raw or encoded; the
 * query may have any visible ASCII. What passes, passes byte for byte.
 *
 * @param target path and query as they go to the device
 * @returns null where nothing is wrong
 */
export function checkTarget(target: string): HttpError | null {
  if (target.length > TARGET_CHARACTERS_MAX)
    return requestError("ERR_HTTP_REQUEST_TARGET_TOO_LONG");
  if (isPlain(target)) return null;
  if (NOT_VISIBLE.test(target) || target.charCodeAt(0) !== 0x2f) {
    return requestError("ERR_HTTP_REQUEST_TARGET");
  }
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  if (BACKSLASH_OR_NUL.test(path) || DOT_SEGMENT.test(path)) {
    return requestError("ERR_HTTP_REQUEST_PATH");
  }
  return null;
}

/**
 * True where one look at each character shows that nothing can be wrong: visible ASCII from a slash on, and in the path
 * no percent sign, no backslash and no dot behind a slash. Most targets are; the others are looked at closely.
 */
function isPlain(target: string): boolean {
  if (target.charCodeAt(0) !== SLASH) return false;
  let before = SLASH;
  let inPath = true;
  for (let at = 1; at < target.length; at++) {
    const code = target.charCodeAt(at);
    if (code < 0x21 || code > 0x7e) return false;
    if (inPath) {
      if (code === PERCENT || code === BACKSLASH) return false;
      if (code === DOT && before === SLASH) return false;
      inPath = code !== QUESTION;
      before = code;
    }
  }
  return true;
}

/** Checks a method, as `getCaseSensitiveMethod` gives it: uWS takes any bytes for one. */
export function checkMethod(method: string): HttpError | null {
  if (method === "GET" || method === "POST" || isToken(method)) return null;
  return requestError("ERR_HTTP_REQUEST_METHOD");
}

/**
 * The head as it is sent to the device, ending in the empty line; a character is one byte.
 *
 * @param method checked by `checkMethod`
 * @param target checked by `checkTarget`
 * @param fields finished, without a problem
 * @see RFC 9110 section 7.6, RFC 7239
 */
export function requestHead(
  method: string,
  target: string,
  fields: RequestFields,
  hop: RequestHop,
): string {
  const opening =
    hop.trustForwarded || fields.via !== "" ? openingOf(fields, hop) : ownOpening(hop);
  // What differs from request to request stands between few texts that do not: each join costs.
  let head = `${method} ${target}${opening}${hop.requestId}\r\n${fields.text}`;
  if (hop.forwardedPrefix !== "") head += `x-forwarded-prefix: ${hop.forwardedPrefix}\r\n`;
  if (hop.forwardAuthorization && fields.authorization !== "") {
    head += `authorization: ${fields.authorization}\r\n`;
  }
  if (fields.contentLength >= 0) head += `content-length: ${fields.contentLength}\r\n`;
  else if (fields.chunked) head += "transfer-encoding: chunked\r\n";
  return `${head}\r\n`;
}

/**
 * From behind the target to before the request's id: host, and what this hop says of itself and the client, behind what those
 * before it said, where they are believed.
 */
function openingOf(fields: RequestFields, hop: RequestHop): string {
  const { host, clientAddress, proto } = hop;
  const trust = hop.trustForwarded;
  const before = trust && fields.forwardedFor !== "" ? `${fields.forwardedFor}, ` : "";
  const elements = trust && fields.forwarded !== "" ? `${fields.forwarded}, ` : "";
  const via = fields.via === "" ? "" : `${fields.via}, `;
  return (
    ` HTTP/1.1\r\nhost: ${host}\r\n` +
    `x-forwarded-for: ${before}${clientAddress}\r\n` +
    `x-forwarded-host: ${trust && fields.forwardedHost !== "" ? fields.forwardedHost : host}\r\n` +
    `x-forwarded-proto: ${trust && fields.forwardedProto !== "" ? fields.forwardedProto : proto}\r\n` +
    `forwarded: ${elements}for=${forwardedNode(clientAddress)};host=${quoted(host)};proto=${proto}\r\n` +
    `via: ${via}1.1 hawser\r\nx-request-id: `
  );
}

const NO_FIELDS = new RequestFields();

/** The last answer of `ownOpening`: requests of one client to one host follow each other. */
let ownHost = "";
let ownAddress = "";
let ownProto = "";
let ownText = "";

/** `openingOf` where nobody before this hop is heard. */
function ownOpening(hop: RequestHop): string {
  const { host, clientAddress, proto } = hop;
  if (host !== ownHost || clientAddress !== ownAddress || proto !== ownProto || ownText === "") {
    // Flat: a text of many pieces is joined anew each time that a head with it in is written.
    ownText = Buffer.from(openingOf(NO_FIELDS, hop), "latin1").toString("latin1");
    ownHost = host;
    ownAddress = clientAddress;
    ownProto = proto;
  }
  return ownText;
}

/** An IPv6 address is put in brackets and quotes. RFC 7239 section 6. */
function forwardedNode(address: string): string {
  return address.includes(":") ? `"[${address}]"` : address;
}

/** A value that is no token, such as a host with a port, is put in quotes. A host has neither quote nor backslash. */
function quoted(value: string): string {
  return isToken(value) ? value : `"${value}"`;
}
