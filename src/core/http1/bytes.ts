/** The bytes of HTTP/1.1 by name, and their classes. */
import { TEXT_CHARACTERS, TOKEN_CHARACTERS } from "./rules.ts";

export const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;
export const COMMA = 0x2c;

/** Bit of `BYTE_CLASS`: one of `TOKEN_CHARACTERS`. */
export const TOKEN = 1;
/** Bit of `BYTE_CLASS`: one of `TEXT_CHARACTERS`. */
export const TEXT = 2;

/** Bit of `BYTE_CLASS`: a token byte that is no capital letter; uWS gives names without them. */
export const LOWER_TOKEN = 4;

/** The classes of each byte value. */
export const BYTE_CLASS: Uint8Array = byteClasses();

function byteClasses(): Uint8Array {
  const text = new RegExp(`[${TEXT_CHARACTERS}]`);
  const token = new RegExp(`[${TOKEN_CHARACTERS}]`);
  const classes = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) {
    const character = String.fromCharCode(byte);
    let bits = 0;
    if (text.test(character)) bits |= TEXT;
    if (token.test(character)) bits |= TOKEN;
    if ((bits & TOKEN) !== 0 && !/[A-Z]/.test(character)) bits |= LOWER_TOKEN;
    classes[byte] = bits;
  }
  return classes;
}

/** The byte at an index that the caller knows to be inside. */
export function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] as number;
}

/** Whose view `lastView` is: many heads stand in one message. */
let lastViewed: Uint8Array = new Uint8Array(0);
let lastView = new DataView(lastViewed.buffer);

/** The same bytes as a view, good as long as they are. */
export function viewOf(bytes: Uint8Array): DataView {
  if (bytes !== lastViewed) {
    lastViewed = bytes;
    lastView = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  return lastView;
}

/**
 * The first offset from `from` on whose byte is not `TEXT`, or `limit`. A plain loop: unrolled by four it was 6 %
 * slower on a usual head, whose values are short.
 */
export function textEnd(bytes: Uint8Array, from: number, limit: number): number {
  let at = from;
  while (at < limit && (byteAt(BYTE_CLASS, byteAt(bytes, at)) & TEXT) !== 0) at++;
  return at;
}

/** The value of a hexadecimal digit, -1 for any other byte. */
export function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** The bytes of an ASCII text. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/**
 * True when the token bytes [start, start + name.length) are `name`, whatever their case. Setting bit 5 of a token
 * byte gives a lower-case letter or `-` only for that letter or `-`, so the comparison is exact.
 */
export function isName(bytes: Uint8Array, start: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) {
    if ((byteAt(bytes, start + i) | 0x20) !== byteAt(name, i)) return false;
  }
  return true;
}
