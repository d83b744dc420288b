import { HEADER_BYTES, VERSION } from "./constants.ts";

/**
 * Encoding and field reads of a frame header. Pure, allocates nothing.
 *
 * This is the one file of the multiplexer that may assert away `undefined` on a byte read:
 * every caller has checked that the bytes are there.
 */

/**
 * Writes one 12-byte header at `offset`. Big-endian. Allocates nothing.
 *
 * @param target owned by the caller; 12 bytes free from `offset`
 * @param length bytes for Data, credit for WindowUpdate, opaque for Ping, reason for GoAway
 * @returns the offset after the header
 * @see yamux spec.md, "Framing"
 */
export function encodeHeader(
  target: Uint8Array,
  offset: number,
  type: number,
  flags: number,
  streamId: number,
  length: number,
): number {
  target[offset] = VERSION;
  target[offset + 1] = type;
  target[offset + 2] = flags >>> 8;
  target[offset + 3] = flags;
  target[offset + 4] = streamId >>> 24;
  target[offset + 5] = streamId >>> 16;
  target[offset + 6] = streamId >>> 8;
  target[offset + 7] = streamId;
  target[offset + 8] = length >>> 24;
  target[offset + 9] = length >>> 16;
  target[offset + 10] = length >>> 8;
  target[offset + 11] = length;
  return offset + HEADER_BYTES;
}

/** The byte at `offset`, which must exist. */
export function byteAt(chunk: Uint8Array, offset: number): number {
  // biome-ignore lint/style/noNonNullAssertion: the caller has checked the bounds.
  return chunk[offset]!;
}

/** Big-endian unsigned 32-bit number at `offset`; all four bytes must exist. */
export function uint32At(chunk: Uint8Array, offset: number): number {
  return (
    // biome-ignore lint/style/noNonNullAssertion: the caller has checked the bounds.
    ((chunk[offset]! << 24) |
      // biome-ignore lint/style/noNonNullAssertion: the caller has checked the bounds.
      (chunk[offset + 1]! << 16) |
      // biome-ignore lint/style/noNonNullAssertion: the caller has checked the bounds.
      (chunk[offset + 2]! << 8) |
      // biome-ignore lint/style/noNonNullAssertion: the caller has checked the bounds.
      chunk[offset + 3]!) >>>
    0
  );
}

/** Big-endian unsigned 16-bit number at `offset`; both bytes must exist. */
export function uint16At(chunk: Uint8Array, offset: number): number {
  // biome-ignore lint/style/noNonNullAssertion: the caller has checked the bounds.
  return (chunk[offset]! << 8) | chunk[offset + 1]!;
}
