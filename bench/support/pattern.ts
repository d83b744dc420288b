/** Bytes after which the pattern repeats; a prime. */
const PERIOD = 65_521;

/**
 * The first `length` bytes of the bodies that the cheap device sends and expects.
 *
 * @see bench/support/device.c, where the pattern is described
 */
export function patternBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let at = 0; at < Math.min(PERIOD, length); at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  for (let at = PERIOD; at < length; at += PERIOD) bytes.copy(bytes, at, 0, PERIOD);
  return bytes;
}
