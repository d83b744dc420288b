import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { crc32 } from "node:zlib";

/**
 * Tokens and device ids: how they are made, read and compared.
 *
 * ```
 * vAc_7Gk2mP0q_<43 characters: the secret, 256 bit><6 characters: CRC-32 of all before it>
 * '------ref-'
 * ```
 *
 * The alphabet is `0-9A-Za-z` in the order of ASCII, most significant digit first, left padded with `0`. A token has
 * exactly one spelling. The reference is public and names the token in paths, listings and logs; the secret is kept
 * nowhere but with its holder, and only its SHA-256 is stored.
 */

/** What a token is for: a device's tunnel, a caller's API key, a fleet's enrolment key. */
export type TokenKind = "device" | "key" | "enrolment";

/** The first four characters of each kind. */
export const TOKEN_PREFIXES: Readonly<Record<TokenKind, string>> = {
  device: "vAc_",
  key: "hwk_",
  enrolment: "hwe_",
};

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX_LENGTH = 4;
const ID_LENGTH = 8;
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const REF_LENGTH = PREFIX_LENGTH + ID_LENGTH;
const CHECKSUM_START = REF_LENGTH + 1 + SECRET_LENGTH;

/** Characters of a whole token, the same for every kind. */
export const TOKEN_LENGTH = CHECKSUM_START + CHECKSUM_LENGTH;

/** Bytes of entropy in a secret. */
export const SECRET_BYTES = 32;

/** A new token. `text` is shown to its holder once and then forgotten. */
export interface MintedToken {
  readonly kind: TokenKind;
  readonly text: string;
  /** The public reference, prefix and id: `vAc_7Gk2mP0q`. */
  readonly ref: string;
  /** SHA-256 of the 43 characters of the secret, lower-case hex: what is stored. */
  readonly secretDigest: string;
}

/** Why a text is no token. Tells a person what to look for; a peer is told none of it. */
export type TokenFault = "length" | "prefix" | "alphabet" | "checksum" | "range";

/** A well-formed token, or what is wrong with the text. Well-formed says nothing about being known. */
export type ParsedToken =
  | {
      readonly ok: true;
      readonly kind: TokenKind;
      readonly ref: string;
      readonly secretDigest: string;
    }
  | { readonly ok: false; readonly fault: TokenFault };

/** Makes a token of 256 random bits with a random public id. */
export function mintToken(kind: TokenKind): MintedToken {
  return formatToken(kind, randomId(), randomBytes(SECRET_BYTES));
}

/**
 * Spells the token of a given id and secret.
 *
 * @param id 8 characters of the alphabet
 * @param secret 32 bytes, read as one big-endian number; borrowed
 */
export function formatToken(kind: TokenKind, id: string, secret: Uint8Array): MintedToken {
  const ref = TOKEN_PREFIXES[kind] + id;
  const digits = base62(BigInt(`0x${Buffer.from(secret).toString("hex")}`), SECRET_LENGTH);
  const body = `${ref}_${digits}`;
  return { kind, text: body + checksum(body), ref, secretDigest: digestSecret(digits) };
}

/**
 * Reads a token. Never throws; a text of the wrong length costs nothing, any other one pass over 62 characters, and
 * only one whose checksum fits is hashed.
 */
export function parseToken(text: string): ParsedToken {
  if (text.length !== TOKEN_LENGTH) return { ok: false, fault: "length" };
  const kind = kindOf(text);
  if (kind === null) return { ok: false, fault: "prefix" };
  // By hand: a pattern, a native CRC and its six digits as text cost three times as much as the pass.
  let crc = -1;
  let claimed = 0;
  for (let at = 0; at < TOKEN_LENGTH; at++) {
    const code = text.charCodeAt(at);
    const digit = DIGIT_VALUES[code] ?? NO_DIGIT;
    if (at >= PREFIX_LENGTH && (at === REF_LENGTH ? code !== UNDERSCORE : digit === NO_DIGIT)) {
      return { ok: false, fault: "alphabet" };
    }
    if (at < CHECKSUM_START) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ code) & 0xff] as number);
    else claimed = claimed * ALPHABET.length + digit;
  }
  if (claimed !== ~crc >>> 0) return { ok: false, fault: "checksum" };
  const digits = text.slice(REF_LENGTH + 1, CHECKSUM_START);
  // The alphabet is in ASCII order and the length fixed, so the order of the texts is that of the numbers.
  if (digits > SECRET_MAX) return { ok: false, fault: "range" };
  return { ok: true, kind, ref: text.slice(0, REF_LENGTH), secretDigest: digestSecret(digits) };
}

/** Whether the text is a public reference, of the given kind where one is given. */
export function isTokenRef(text: string, kind?: TokenKind): boolean {
  if (!REF_PATTERN.test(text)) return false;
  return kind === undefined ? kindOf(text) !== null : text.startsWith(TOKEN_PREFIXES[kind]);
}

/** Whether the text is a stored digest: 64 lower-case hex digits. */
export function isSecretDigest(text: string): boolean {
  return DIGEST_PATTERN.test(text);
}

/** Compares two stored digests in constant time. Both are 64 hex digits; anything else is unequal. */
export function digestsEqual(left: string, right: string): boolean {
  if (left.length !== DIGEST_LENGTH || right.length !== DIGEST_LENGTH) return false;
  leftDigest.write(left, "latin1");
  rightDigest.write(right, "latin1");
  return timingSafeEqual(leftDigest, rightDigest);
}

/** Makes a device id: 80 random bits as 16 lower-case base32 characters, which is a DNS label. */
export function mintDeviceId(): string {
  let id = "";
  for (const byte of randomBytes(DEVICE_ID_LENGTH)) id += BASE32[byte & 31];
  return id;
}

/** Whether the text is a device id: 16 characters of `a-z2-7`. */
export function isDeviceId(text: string): boolean {
  if (text.length !== DEVICE_ID_LENGTH) return false;
  for (let at = 0; at < DEVICE_ID_LENGTH; at++) {
    const code = text.charCodeAt(at);
    // `a` to `z`, or `2` to `7`.
    if ((code < 0x61 || code > 0x7a) && (code < 0x32 || code > 0x37)) return false;
  }
  return true;
}

const UNDERSCORE = 0x5f;
const NO_DIGIT = -1;
/** What each character of the alphabet counts as a digit, by its code; `NO_DIGIT` for others of ASCII. */
const DIGIT_VALUES = new Int8Array(128).fill(NO_DIGIT);
for (let digit = 0; digit < ALPHABET.length; digit++) {
  DIGIT_VALUES[ALPHABET.charCodeAt(digit)] = digit;
}
/** CRC-32 of each byte, reflected. */
const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
});
const REF_PATTERN = /^(?:vAc|hwk|hwe)_[0-9A-Za-z]{8}$/;
const DIGEST_LENGTH = 64;
/** Where digests are compared: no secrets, and good for one call. */
const leftDigest = Buffer.alloc(DIGEST_LENGTH);
const rightDigest = Buffer.alloc(DIGEST_LENGTH);
const DIGEST_PATTERN = /^[0-9a-f]{64}$/;
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const DEVICE_ID_LENGTH = 16;
const SECRET_MAX = base62((1n << 256n) - 1n, SECRET_LENGTH);

function kindOf(text: string): TokenKind | null {
  switch (text.slice(0, PREFIX_LENGTH)) {
    case "vAc_":
      return "device";
    case "hwk_":
      return "key";
    case "hwe_":
      return "enrolment";
    default:
      return null;
  }
}

function base62(value: bigint, length: number): string {
  let digits = "";
  let rest = value;
  while (rest > 0n) {
    digits = ALPHABET[Number(rest % 62n)] + digits;
    rest /= 62n;
  }
  return digits.padStart(length, "0");
}

/** The CRC-32 (IEEE 802.3, as in gzip) of an ASCII text, in six digits: 62^6 is more than 2^32. */
function checksum(text: string): string {
  let rest = crc32(text);
  let digits = "";
  for (let count = 0; count < CHECKSUM_LENGTH; count++) {
    digits = ALPHABET[rest % 62] + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
}

function digestSecret(digits: string): string {
  // In one call: a third of what an object of class Hash costs.
  return hash("sha256", digits, "hex");
}

/** Eight uniform characters. A byte of 248 and more is drawn again: 248 is the largest multiple of 62 in a byte. */
function randomId(): string {
  let id = "";
  while (id.length < ID_LENGTH) {
    for (const byte of randomBytes(ID_LENGTH)) {
      if (byte < 248 && id.length < ID_LENGTH) id += ALPHABET[byte % 62];
    }
  }
  return id;
}
