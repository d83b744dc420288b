/** The claims of an unsigned JWT, or why there are none. */
export type UnsignedJwt =
  | { readonly ok: true; readonly claims: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly fault: "malformed" | "signed" };

const MALFORMED = { ok: false, fault: "malformed" } as const;
const SIGNED = { ok: false, fault: "signed" } as const;
const BASE64URL = /^[A-Za-z0-9_-]+$/;
const UTF8 = new TextDecoder("utf-8", { fatal: true });

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object that a part of a compact JWT holds, or null. */
export function decodePart(part: string): Record<string, unknown> | null {
  // A length of 4n + 1 encodes no whole byte; Node would read it all the same.
  if (!BASE64URL.test(part) || part.length % 4 === 1) return null;
  try {
    const value: unknown = JSON.parse(UTF8.decode(Buffer.from(part, "base64url")));
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/**
 * Reads a JWT whose `alg` is `none`: three parts, the third one empty. Within a trust zone alone, where who sends it is known
 * otherwise.
 *
 * @see TA cooperation, section 3.2
 */
export function readUnsignedJwt(text: string): UnsignedJwt {
  const parts = text.split(".");
  if (parts.length !== 3) return MALFORMED;
  const [head = "", body = "", signature = ""] = parts;
  const header = decodePart(head);
  if (header === null) return MALFORMED;
  if (header["alg"] !== "none" || signature !== "") return SIGNED;
  const claims = decodePart(body);
  return claims === null ? MALFORMED : { ok: true, claims };
}

const HEADER = Buffer.from('{"alg":"none"}').toString("base64url");

/** The claims as an unsigned JWT; ends with the dot before the empty signature. */
export function writeUnsignedJwt(claims: Readonly<Record<string, unknown>>): string {
  return `${HEADER}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.`;
}
