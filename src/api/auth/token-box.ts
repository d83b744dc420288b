import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { KEY_ID, type KeyRing, type RingKey } from "./key-ring.ts";

/** What a sealed text is for. It opens for nothing else. */
export type SealPurpose = "session-tokens" | "pending-sign-in" | "logout-ticket";

const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const SEALED = new RegExp(`^v1\\.(${KEY_ID})\\.([A-Za-z0-9_-]+)$`);

/**
 * Encrypts what the store keeps and must not know: AES-256-GCM with a random nonce of 96 bits. A sealed text is bound
 * to its purpose and its place, so that one that was moved to another row does not open.
 */
export class TokenBox {
  readonly #first: RingKey;
  readonly #keys: ReadonlyMap<string, Buffer>;

  constructor(ring: KeyRing) {
    this.#first = ring.first;
    this.#keys = new Map([...ring.keys.values()].map((key) => [key.id, cipherKeyOf(key)]));
  }

  /** @param place key of the row that it is kept in */
  seal(purpose: SealPurpose, place: string, text: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(CIPHER, this.#keyOf(this.#first.id), iv);
    cipher.setAAD(boundTo(purpose, place));
    const bytes = Buffer.concat([iv, cipher.update(text, "utf8"), cipher.final()]);
    const sealed = Buffer.concat([bytes, cipher.getAuthTag()]);
    return `v1.${this.#first.id}.${sealed.toString("base64url")}`;
  }

  /** Null for everything that this ring has not sealed for this purpose and place. Never throws. */
  open(purpose: SealPurpose, place: string, sealed: string): string | null {
    const [, id = "", encoded = ""] = SEALED.exec(sealed) ?? [];
    const key = this.#keys.get(id);
    const bytes = Buffer.from(encoded, "base64url");
    if (key === undefined || bytes.length < IV_BYTES + TAG_BYTES) return null;
    // Each sealed text has one spelling.
    if (bytes.toString("base64url") !== encoded) return null;
    const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, IV_BYTES));
    decipher.setAAD(boundTo(purpose, place));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      const opened = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES));
      return Buffer.concat([opened, decipher.final()]).toString("utf8");
    } catch {
      return null;
    }
  }

  #keyOf(id: string): Buffer {
    return this.#keys.get(id) ?? Buffer.alloc(0);
  }
}

/** A key of a ring may be longer than the cipher's. */
function cipherKeyOf({ bytes }: RingKey): Buffer {
  return Buffer.from(hkdfSync("sha256", bytes, "", "hawser-token-box:v1", KEY_BYTES));
}

function boundTo(purpose: SealPurpose, place: string): Buffer {
  return Buffer.from(`hawser:${purpose}:${place}`);
}
