import { createHash, randomBytes } from "node:crypto";

/**
 * Pairing codes: `hwp_` and 26 digits of Crockford's base32, 130 random bits. A person may paste one, read it from a
 * screen or type it, so reading is lenient where writing is not: case does not count, `I` and `L` are 1, `O` is 0, and
 * hyphens and spaces are nothing.
 *
 * @see https://www.crockford.com/base32.html
 */

/** The first four characters of every code. */
export const PAIRING_CODE_PREFIX = "hwp_";

/** Digits of a code after its prefix: 26 × 5 = 130 bits. */
export const PAIRING_CODE_DIGITS = 26;

/** Characters of a presented code that are looked at at all; hyphens and spaces included. */
export const PAIRING_CODE_TEXT_MAX = 128;

/** Digits that a listing shows, by which people tell codes apart. They leave 110 bits to guess. */
const SHOWN_DIGITS = 4;
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const NORMAL = new RegExp(`^[${ALPHABET}]{${PAIRING_CODE_DIGITS}}$`);

/** A new code. `text` is shown to its creator once and then forgotten. */
export interface MintedPairingCode {
  readonly text: string;
  /** SHA-256 of the normalised code, in lower-case hex: what is stored. */
  readonly digest: string;
  /** The beginning of the code, for listings. */
  readonly prefix: string;
}

/** Makes a code. */
export function mintPairingCode(): MintedPairingCode {
  let digits = "";
  // 32 divides 256, so that the low five bits are uniform.
  for (const byte of randomBytes(PAIRING_CODE_DIGITS)) digits += ALPHABET[byte & 31];
  const text = PAIRING_CODE_PREFIX + digits;
  return { text, digest: pairingCodeDigest(text), prefix: text.slice(0, SHOWN_DIGITS + 4) };
}

/** The one spelling of a code that somebody presents, or null where the text is none. Never throws. */
export function normalisePairingCode(text: string): string | null {
  if (text.length > PAIRING_CODE_TEXT_MAX) return null;
  const dense = text.replace(/[\s-]/g, "");
  if (dense.slice(0, PAIRING_CODE_PREFIX.length).toLowerCase() !== PAIRING_CODE_PREFIX) return null;
  const digits = dense
    .slice(PAIRING_CODE_PREFIX.length)
    // Only ASCII has a case here: some letters of other scripts become ASCII ones.
    .replace(/[a-z]/g, (letter) => letter.toUpperCase())
    .replace(/[IL]/g, "1")
    .replace(/O/g, "0");
  return NORMAL.test(digits) ? PAIRING_CODE_PREFIX + digits : null;
}

/** SHA-256 of a normalised code, in lower-case hex. */
export function pairingCodeDigest(normalised: string): string {
  return createHash("sha256").update(normalised, "latin1").digest("hex");
}
