import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";

const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** A new key as it is written to its file. */
export function newBoxKey(): string {
  return randomBytes(KEY_BYTES).toString("base64url");
}

/** Whether a text is such a key. */
export function isBoxKey(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text);
}

/**
 * Encrypts what the database keeps and must not know: AES-256-GCM with a random nonce of 96 bits. A sealed text is bound to
 * the place where it is kept: one that was moved elsewhere does not open.
 */
export class SealedBox {
  readonly #cipherKey: Buffer;
  readonly #markKey: Buffer;

  /** @param key as {@link newBoxKey} writes it */
  constructor(key: string) {
    const bytes = Buffer.from(key, "base64url");
    const derived = (purpose: string): Buffer =>
      Buffer.from(hkdfSync("sha256", bytes, "", `hawser-access-proxy:${purpose}`, KEY_BYTES));
    this.#cipherKey = derived("seal");
    this.#markKey = derived("mark");
  }

  /** @param place table and key of the row that it is kept in */
  seal(place: string, text: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(CIPHER, this.#cipherKey, iv);
    cipher.setAAD(Buffer.from(place));
    const bytes = Buffer.concat([iv, cipher.update(text, "utf8"), cipher.final()]);
    return Buffer.concat([bytes, cipher.getAuthTag()]).toString("base64url");
  }

  /** Null for everything that this key has not sealed for this place. Never throws. */
  open(place: string, sealed: string): string | null {
    const bytes = Buffer.from(sealed, "base64url");
    if (bytes.length < IV_BYTES + TAG_BYTES) return null;
    const decipher = createDecipheriv(CIPHER, this.#cipherKey, bytes.subarray(0, IV_BYTES));
    decipher.setAAD(Buffer.from(place));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      const opened = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES));
      return Buffer.concat([opened, decipher.final()]).toString("utf8");
    } catch {
      return null;
    }
  }

  /** What a text is recognised by without being known: the same for the same text under the same key. */
  mark(text: string): string {
    return createHmac("sha256", this.#markKey).update(text).digest("base64url");
  }
}
