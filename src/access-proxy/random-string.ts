import { randomBytes } from "node:crypto";

/** `length` characters of the base64url alphabet, six random bits each. */
export function randomString(length: number): string {
  return randomBytes(Math.ceil((6 * length) / 8))
    .toString("base64url")
    .slice(0, length);
}
