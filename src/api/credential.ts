import type { IncomingMessage } from "node:http";
import { SESSION_COOKIE } from "../core/contract.ts";
import type { Credential } from "./ports.ts";

/** A longer `Cookie` field is not looked into. */
const COOKIE_BYTES_MAX = 8_192;
/** RFC 6750, section 2.1. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]{1,4096}=*)$/i;
/** Names under which others put tokens into URLs. */
const TOKEN_PARAMETERS = /(?:^|&)(?:access_token|token|api_key|key|session)=/i;

/** What a request presents. */
export interface Presented {
  /** Null where there is none that can be used. */
  readonly credential: Credential | null;
  /** True also for an `Authorization` that is no bearer token. */
  readonly presented: boolean;
  /** Two cookies of our name, of which neither counts. */
  readonly duplicateCookie: boolean;
}

/**
 * Picks the one credential of a request. Where `Authorization` is present the cookie does not count, however bad the
 * former may be. Query and body are never looked at.
 */
export function presentedBy(request: IncomingMessage, cookieName: string): Presented {
  const authorization = request.headers.authorization;
  if (authorization !== undefined) {
    const token = BEARER.exec(authorization)?.[1];
    const credential = token === undefined ? null : ({ kind: "bearer", token } as const);
    return { credential, presented: true, duplicateCookie: false };
  }
  const values = cookieValues(cookieLines(request), cookieName);
  const [value] = values;
  if (value === undefined || values.length > 1) {
    return { credential: null, presented: false, duplicateCookie: values.length > 1 };
  }
  return { credential: { kind: "cookie", value }, presented: true, duplicateCookie: false };
}

/** Whether a query carries what looks like a credential. It is not used; the audit log is told. */
export function hasTokenInQuery(query: string): boolean {
  return TOKEN_PARAMETERS.test(query) || /(?:vAc|hwk|hwe|hwp)_[0-9A-Za-z]{8}/.test(query);
}

/** The name of the login cookie: bound to the host by its prefix wherever the base URL is https. */
export function sessionCookieName(isHttps: boolean): string {
  return isHttps ? SESSION_COOKIE.https : SESSION_COOKIE.loopback;
}

/**
 * All values of one cookie. Names are compared byte by byte; around them a space and a tab are stripped and nothing
 * else, since other blanks would let a foreign name pass for ours.
 */
export function cookieValues(field: string, name: string): string[] {
  if (field.length > COOKIE_BYTES_MAX) return [];
  return field.split(";").flatMap((pair) => {
    const text = pair.replace(/^[ \t]+|[ \t]+$/g, "");
    return text.startsWith(`${name}=`) ? [text.slice(name.length + 1)] : [];
  });
}

function cookieLines(request: IncomingMessage): string {
  return (request.headersDistinct["cookie"] ?? []).join(";");
}
