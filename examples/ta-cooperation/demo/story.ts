import { readJwt } from "../wire/signed-jwt.ts";

/** One thing that a step shows: a field, a member, a decoded JWT. */
export interface Detail {
  readonly name: string;
  /** JSON; no token in it is whole. */
  readonly value: unknown;
}

/** What one party sends to another, or answers. */
export interface Message {
  readonly from: string;
  readonly to: string;
  /** In a few words: `POST coop-from`. */
  readonly what: string;
  /** Why it is sent, in a sentence. */
  readonly why: string;
  readonly details: readonly Detail[];
}

/** A call of the backend, with all that it led to. */
export interface Chapter {
  readonly title: string;
  readonly messages: readonly Message[];
  /** What was expected and did not happen; none where all went well. */
  readonly faults: readonly string[];
}

const SHOWN_CHARACTERS = 6;

/** A secret, with as much of it as tells it from another. */
export function shortened(secret: string): string {
  return `${secret.slice(0, SHOWN_CHARACTERS)}… (${secret.length} characters)`;
}

/** Members whose values are bearer secrets: whoever has one may use it. */
const SECRET_MEMBERS: ReadonlySet<string> = new Set(["access_token", "code", "jti"]);
/** Members of cooperation whose values are JWTs. */
const JWT_MEMBERS: ReadonlySet<string> = new Set([
  "client_assertion",
  "code_token",
  "referral",
  "ids_token",
]);

/**
 * A JWT as a reader wants it: header and claims decoded, signature left out.
 *
 * @param isCodeToken its `sub` is a cooperation code, which is a secret
 */
export function decodedJwt(text: string, isCodeToken: boolean): unknown {
  const jwt = readJwt(text);
  const [head = ""] = text.split(".");
  if (jwt === null) return shortened(text);
  const claims = members(jwt.claims);
  const { sub } = claims;
  return {
    header: JSON.parse(Buffer.from(head, "base64url").toString("utf8")),
    claims: isCodeToken && typeof sub === "string" ? { ...claims, sub: shortened(sub) } : claims,
  };
}

/** The members of a request or an answer: JWTs decoded, secrets shortened. */
export function members(json: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(json).map(([name, value]) => {
      if (typeof value !== "string") return [name, value];
      if (JWT_MEMBERS.has(name)) return [name, decodedJwt(value, name === "code_token")];
      return [name, SECRET_MEMBERS.has(name) ? shortened(value) : value];
    }),
  );
}

/** Fields that say something about cooperation; the others are the usual ones of HTTP. */
const TOLD_FIELDS =
  /^(x-access-proxy-|x-auth-|x-edo-|cookie$|set-cookie$|content-length$|content-type$)/i;
const UNSIGNED_FIELDS: ReadonlySet<string> = new Set([
  "x-access-proxy-users",
  "x-auth-user",
  "x-auth-users",
]);

/** The fields of a head, JWTs decoded and secrets shortened. @param fields names and values in turn */
export function fieldDetails(fields: readonly string[], sessLabel: string): Detail[] {
  const details: Detail[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    if (!TOLD_FIELDS.test(name)) continue;
    details.push({ name, value: fieldValue(name.toLowerCase(), fields[at + 1] ?? "", sessLabel) });
  }
  return details;
}

function fieldValue(name: string, value: string, sessLabel: string): unknown {
  if (UNSIGNED_FIELDS.has(name)) return decodedJwt(value, false);
  if (name === "x-edo-code-tokens") return decodedJwt(value, true);
  if (name !== "cookie" && name !== "set-cookie") return value;
  return value
    .split("; ")
    .map((pair) => {
      const [label = "", text = ""] = pair.split("=");
      return label === sessLabel ? `${label}=${shortened(text)}` : pair;
    })
    .join("; ");
}

/** A chapter as text for people. */
export function chapterText(number: number, { title, messages, faults }: Chapter): string {
  const lines = [`== ${number}. ${title}`, ""];
  for (const { from, to, what, why, details } of messages) {
    lines.push(`   ${from} -> ${to}: ${what}`, `      ${why}`);
    for (const { name, value } of details) lines.push(...detailLines(name, value));
    lines.push("");
  }
  lines.push(...(faults.length === 0 ? ["   as expected"] : faults.map((it) => `   NOT: ${it}`)));
  return `${lines.join("\n")}\n\n`;
}

function detailLines(name: string, value: unknown): string[] {
  if (typeof value === "string") return [`      ${name}: ${value}`];
  if (isDecoded(value)) {
    return [
      `      ${name}: a JWT`,
      `         header ${JSON.stringify(value.header)}`,
      `         claims ${JSON.stringify(value.claims)}`,
    ];
  }
  return [`      ${name}: ${JSON.stringify(value)}`];
}

function isDecoded(value: unknown): value is { header: unknown; claims: unknown } {
  return typeof value === "object" && value !== null && "header" in value && "claims" in value;
}
