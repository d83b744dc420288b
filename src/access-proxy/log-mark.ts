import { hash } from "node:crypto";

const DIGITS = 8;

/**
 * What a secret is called in a log, so that lines about the same one can be found: the first 8 hex digits of its SHA-256.
 *
 * @see TA cooperation, section 14.3
 */
export function logMark(secret: string): string {
  return hash("sha256", secret).slice(0, DIGITS);
}
