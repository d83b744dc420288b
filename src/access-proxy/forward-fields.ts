import { withoutCookie } from "./cookies.ts";

/** Names and values in turn, as `rawHeaders` of `node:http` has them. */
export type RawFields = readonly string[];

/** Fields of this proxy's own, taken out of what is forwarded. */
const CONSUMED = ["x-access-proxy-users", "x-access-proxy-to", "x-access-proxy-to-id"];
/** Fields of one hop. RFC 9110, section 7.6.1. */
const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authorization",
  "proxy-authenticate",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

const NOT_FORWARDED: ReadonlySet<string> = new Set([
  ...CONSUMED,
  ...HOP_BY_HOP,
  "x-edo-code-tokens",
  "host",
  "expect",
]);
const NOT_RELAYED: ReadonlySet<string> = new Set([...HOP_BY_HOP, "x-access-proxy-error"]);

/**
 * The fields that `Connection` names: of this hop alone. `Content-Length` is none of them, whoever names it: the body goes on, and
 * one of no known length would be read as the next message. RFC 9110, section 7.6.1.
 */
function namedBy(connection: string | undefined): ReadonlySet<string> | null {
  if (connection === undefined || PLAIN_OPTIONS.has(connection)) return null;
  const names = connection.split(",").map((name) => name.trim().toLowerCase());
  if (names.every((name) => PLAIN_OPTIONS.has(name))) return null;
  return new Set(names.filter((name) => name !== "content-length"));
}

const PLAIN_OPTIONS: ReadonlySet<string> = new Set(["", "close", "keep-alive"]);

/** How a request says what follows its head: as it came, in chunks, or that nothing does. */
export type Framing = "kept" | "chunked" | "empty";

/** What a forwarded request is made with. */
export interface ForwardFields {
  /** Of the request that came. */
  readonly fields: RawFields;
  /** All that `Connection` says among them. */
  readonly connection: string | undefined;
  /** Authority of the target. */
  readonly host: string;
  /** Name of the session's cookie. */
  readonly sessLabel: string;
  /** Field that carried the caller's credential for this proxy, in lower case; null where there is none. */
  readonly credentialField: string | null;
  /** The session that the target granted; null on the way over the ID providers. */
  readonly sessionId: string | null;
  /** Main ID provider's first; none with a session. */
  readonly codeTokens: readonly string[];
  readonly framing: Framing;
}

/**
 * The fields of the request to the target: those that came, in their order and with their duplicates, without what belongs to this
 * hop or this proxy, and with the session or the code tokens, one line for each.
 *
 * @see TA cooperation, section 4.6
 */
export function forwardFields(of: ForwardFields): string[] {
  const { fields, sessLabel, sessionId } = of;
  const named = namedBy(of.connection);
  const out: string[] = ["Host", of.host];
  let cookieAt = -1;
  for (let at = 0; at < fields.length; at += 2) {
    const field = fields[at] as string;
    const name = field.toLowerCase();
    if (NOT_FORWARDED.has(name) || name === of.credentialField || named?.has(name)) continue;
    let value = fields[at + 1] as string;
    if (name === "cookie") {
      value = withoutCookie(value, sessLabel);
      if (value === "") continue;
      cookieAt = out.length + 1;
    }
    out.push(field, value);
  }
  if (sessionId !== null) {
    const pair = `${sessLabel}=${sessionId}`;
    if (cookieAt < 0) out.push("Cookie", pair);
    else out[cookieAt] = `${out[cookieAt]}; ${pair}`;
  }
  for (const token of of.codeTokens) out.push("X-Edo-Code-Tokens", token);
  if (of.framing === "chunked") out.push("Transfer-Encoding", "chunked");
  if (of.framing === "empty") out.push("Content-Length", "0");
  return out;
}

/**
 * The fields of the answer to the caller: those of the target, without what belongs to that hop, and without
 * `X-Access-Proxy-Error`, which this proxy alone may set.
 *
 * @param connection all that `Connection` says among them
 * @param hiddenCookie name of a cookie whose `Set-Cookie` stays here; null hides none
 * @see TA cooperation, section 4.7
 */
export function relayFields(
  fields: RawFields,
  connection: string | undefined,
  hiddenCookie: string | null,
): string[] {
  const named = namedBy(connection);
  const out: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const field = fields[at] as string;
    const value = fields[at + 1] as string;
    const name = field.toLowerCase();
    if (NOT_RELAYED.has(name) || named?.has(name)) continue;
    if (hiddenCookie !== null && name === "set-cookie") {
      if (value.split("=", 1)[0]?.trim() === hiddenCookie) continue;
    }
    out.push(field, value);
  }
  return out;
}
