import type { IncomingMessage } from "node:http";
import { withoutCookie } from "../../../src/access-proxy/index.ts";

/** What an incoming request carries for the receiver itself. */
export interface Carried {
  /** Value of the session's cookie; null where there is none. */
  readonly sessionId: string | null;
  /** Code tokens of the fields, or else of the query. */
  readonly codeTokens: readonly string[];
}

const CODE_TOKENS_FIELD = "x-edo-code-tokens";
const CODE_TOKENS_PARAMETER = "code_tokens";
const AUTH_PREFIX = "x-auth-";

function cookieOf(value: string, name: string): string | null {
  for (const pair of value.split(";")) {
    const equals = pair.indexOf("=");
    if (equals > 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
  }
  return null;
}

/** The code tokens of the query, and the request target without them. */
function readQuery(target: string): readonly [tokens: string[], rest: string] {
  const mark = target.indexOf("?");
  if (mark < 0) return [[], target];
  const tokens: string[] = [];
  const kept: string[] = [];
  for (const pair of target.slice(mark + 1).split("&")) {
    const parameters = new URLSearchParams(pair);
    const value = parameters.get(CODE_TOKENS_PARAMETER);
    if (value === null) kept.push(pair);
    else tokens.push(...value.split(" "));
  }
  const path = target.slice(0, mark);
  return [tokens, kept.length === 0 ? path : `${path}?${kept.join("&")}`];
}

const present = (texts: readonly string[]): string[] =>
  texts.map((text) => text.trim()).filter((text) => text !== "");

/**
 * Takes out of a request what belongs to the receiver: `X-Auth-…` fields, which nobody outside may set, the session's cookie and the
 * code tokens. What stays is as it came.
 *
 * @see TA cooperation, sections 6, 8.1 and 8.4
 */
export function takeOut(request: IncomingMessage, sessLabel: string): Carried {
  const kept: string[] = [];
  const fieldTokens: string[] = [];
  let sessionId: string | null = null;
  const { rawHeaders } = request;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const field = rawHeaders[at] as string;
    const name = field.toLowerCase();
    let value = rawHeaders[at + 1] as string;
    if (name.startsWith(AUTH_PREFIX)) continue;
    if (name === CODE_TOKENS_FIELD) {
      fieldTokens.push(...value.split(","));
      continue;
    }
    if (name === "cookie") {
      sessionId ??= cookieOf(value, sessLabel);
      value = withoutCookie(value, sessLabel);
      if (value === "") continue;
    }
    kept.push(field, value);
  }
  const [queryTokens, target] = readQuery(request.url ?? "/");
  request.url = target;
  setFields(request, kept);
  const inFields = present(fieldTokens);
  return { sessionId, codeTokens: inFields.length > 0 ? inFields : present(queryTokens) };
}

/** Adds fields that the request does not have, names and values in turn. */
export function addFields(request: IncomingMessage, fields: readonly string[]): void {
  setFields(request, [...request.rawHeaders, ...fields]);
}

/** Replaces all fields of a request, in both forms that Node keeps them in. */
function setFields(request: IncomingMessage, fields: readonly string[]): void {
  request.rawHeaders = [...fields];
  const joined: Record<string, string> = {};
  const seen = new Set<string>();
  for (let at = 0; at < fields.length; at += 2) {
    const name = (fields[at] as string).toLowerCase();
    const value = fields[at + 1] as string;
    if (seen.has(name)) joined[name] += `${name === "cookie" ? "; " : ", "}${value}`;
    else joined[name] = value;
    seen.add(name);
  }
  request.headers = joined;
}
