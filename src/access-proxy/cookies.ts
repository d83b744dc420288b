/** A session that a target granted by `Set-Cookie`. */
export interface GrantedSession {
  readonly id: string;
  /** Milliseconds since 1970; in the past where the target ended the session. */
  readonly expiresAt: number;
}

/** A year and more is no time that a cookie lives; what is larger still must not overflow. */
const MAX_AGE_S = 400 * 86_400;

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DELIMITERS = /[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+/;

/**
 * A cookie's date as user agents read it: a time, a day, a month and a year in any order, all else left out.
 *
 * @returns milliseconds since 1970, or null
 * @see RFC 6265, section 5.1.1
 */
export function readCookieDate(text: string): number | null {
  let time: readonly number[] | null = null;
  let day: number | null = null;
  let month: number | null = null;
  let year: number | null = null;
  for (const token of text.split(DELIMITERS)) {
    const clock: RegExpExecArray | null =
      time === null ? /^(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\D|$)/.exec(token) : null;
    if (clock !== null) time = clock.slice(1, 4).map(Number);
    else if (day === null && /^\d{1,2}(?:\D|$)/.test(token)) day = Number.parseInt(token, 10);
    else if (month === null && MONTHS.includes(token.slice(0, 3).toLowerCase())) {
      month = MONTHS.indexOf(token.slice(0, 3).toLowerCase());
    } else if (year === null && /^\d{2,4}(?:\D|$)/.test(token)) year = Number.parseInt(token, 10);
  }
  if (time === null || day === null || month === null || year === null) return null;
  if (year >= 70 && year <= 99) year += 1_900;
  else if (year <= 69) year += 2_000;
  const [hours = 0, minutes = 0, seconds = 0] = time;
  if (day < 1 || day > 31 || year < 1_601 || hours > 23 || minutes > 59 || seconds > 59)
    return null;
  const at = new Date(Date.UTC(year, month, day, hours, minutes, seconds));
  return at.getUTCDate() === day ? at.getTime() : null;
}

/** Without the blanks around it; quotes are part of a value, which is sent back as it came. */
const trim = (text: string) => text.replace(/^[ \t]+|[ \t]+$/g, "");

/**
 * What a cookie's value may hold here, and how much: it goes into a `Cookie` field beside others. Longer cookies need no user agent
 * keep. RFC 6265, sections 4.1.1 and 6.1.
 */
const VALUE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{1,4096}$/;

function readExpiry(attributes: readonly string[], now: number): number | null {
  let maxAge: number | null = null;
  let expires: number | null = null;
  for (const attribute of attributes) {
    const equals = attribute.indexOf("=");
    if (equals < 0) continue;
    const name = trim(attribute.slice(0, equals)).toLowerCase();
    const value = trim(attribute.slice(equals + 1));
    if (name === "max-age" && /^-?\d+$/.test(value)) {
      maxAge = Math.min(Number(value), MAX_AGE_S);
    } else if (name === "expires") expires = readCookieDate(value) ?? expires;
  }
  if (maxAge !== null) return maxAge <= 0 ? 0 : now + maxAge * 1_000;
  return expires;
}

/**
 * The session that one `Set-Cookie` grants or ends: null where it is another cookie, or says nothing of its end.
 *
 * @param label the cookie's name, compared as it is
 * @param now milliseconds since 1970
 * @see TA cooperation, section 9.3; RFC 6265, section 5.2
 */
export function readGrantedSession(
  setCookie: string,
  label: string,
  now: number,
): GrantedSession | null {
  const [pair = "", ...attributes] = setCookie.split(";");
  const equals = pair.indexOf("=");
  if (equals < 0 || trim(pair.slice(0, equals)) !== label) return null;
  const id = trim(pair.slice(equals + 1));
  const expiresAt = readExpiry(attributes, now);
  if (expiresAt === null) return null;
  if (expiresAt > now && !VALUE.test(id)) return null;
  return { id, expiresAt };
}

/**
 * A `Cookie` field's value without the pairs of that name; all others stay byte for byte. Empty where nothing is left.
 *
 * @see TA cooperation, section 4.6
 */
export function withoutCookie(value: string, name: string): string {
  if (!value.includes(name)) return value;
  const kept = value.split(";").filter((pair) => trim(pair.split("=", 1)[0] ?? "") !== name);
  return kept.join(";").replace(/^[ \t]+/, "");
}
