/** Rules of HTTP/1.1 messages that whoever reads them holds to, over bytes or over text with one character a byte. */

/** What a token may have (field names, methods), to stand in a class of a regular expression. RFC 9110 section 5.6.2. */
export const TOKEN_CHARACTERS = "!#$%&'*+.^_`|~0-9A-Za-z\\-";
/** What a field value and a reason may have, likewise: HTAB, SP, VCHAR, obs-text. RFC 9110 section 5.5. */
export const TEXT_CHARACTERS = "\\t -~\\x80-\\xff";
/** As many digits as a number holds exactly. */
export const LENGTH_DIGITS_MAX = 15;

const TOKEN = new RegExp(`^[${TOKEN_CHARACTERS}]+$`);
const LENGTH = new RegExp(`^[0-9]{1,${LENGTH_DIGITS_MAX}}$`);

export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/** The value of a Content-Length field without the white space around it, in bytes; -1 for anything but one length. */
export function contentLengthOf(value: string): number {
  return LENGTH.test(value) ? Number(value) : -1;
}

/** The five classes of RFC 9110 section 15; a status of another class has no meaning. */
export function isStatus(status: number): boolean {
  return status >= 100 && status <= 599;
}

/** A final response without a body, whatever its head says. RFC 9112 section 6.3. */
export function isBodiless(status: number, isHead: boolean): boolean {
  return isHead || status === 204 || status === 304;
}

/** How the end of a response's body is found. */
export const BodyKind = { NONE: 0, LENGTH: 1, CHUNKED: 2, UNTIL_CLOSE: 3 } as const;
export type BodyKind = (typeof BodyKind)[keyof typeof BodyKind];

/**
 * Decides on the body of a final response whose head holds to the rules: not both a length and a coding.
 *
 * @param isHead it answers a HEAD request
 * @param contentLength in bytes, -1 for none
 * @see RFC 9112 section 6.3
 */
export function bodyKindOf(
  status: number,
  isHead: boolean,
  isChunked: boolean,
  contentLength: number,
): BodyKind {
  if (isBodiless(status, isHead)) return BodyKind.NONE;
  if (isChunked) return BodyKind.CHUNKED;
  return contentLength >= 0 ? BodyKind.LENGTH : BodyKind.UNTIL_CLOSE;
}
