import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { sessionCookieName } from "../credential.ts";
import { KEY_ID, type KeyRing, type RingKey } from "./key-ring.ts";

/** The id of a browser, signed in or not, as far as the server needs it. */
export interface BrowserId {
  /** Secret: 32 random bytes in base64url. Whoever has it and a key of the ring can make the cookie. */
  readonly sid: string;
  /** SHA-256 of `sid` in hex, by which the store knows the browser. */
  readonly key: string;
}

/** A cookie that we have issued. */
export interface GenuineCookie extends BrowserId {
  /** Issued under a key that is not the first one any more. */
  readonly isStale: boolean;
}

/** Why a cookie is not genuine. */
export type CookieFault = "cookie_malformed" | "cookie_key" | "cookie_signature";

export type CookieReading =
  | { readonly ok: true; readonly cookie: GenuineCookie }
  | { readonly ok: false; readonly fault: CookieFault };

const SID_BYTES = 32;
const VALUE_LENGTH_MAX = 128;
const VALUE = new RegExp(`^v1\\.(${KEY_ID})\\.([A-Za-z0-9_-]{43})\\.([A-Za-z0-9_-]{43})$`);

/**
 * The one cookie: `v1.<key id>.<sid>.<mac>`, where the mac is HMAC-SHA256 over the key's id and the sid. It carries
 * pending sign-ins and login sessions alike; what it stands for is in the store alone.
 */
export class SessionCookie {
  readonly name: string;
  readonly #ring: KeyRing;
  readonly #attributes: string;

  /** @param isHttps whether the base URL is https: only then can a browser keep the cookie to itself */
  constructor(ring: KeyRing, isHttps: boolean) {
    this.#ring = ring;
    this.name = sessionCookieName(isHttps);
    this.#attributes = `Path=/; HttpOnly; SameSite=Lax${isHttps ? "; Secure" : ""}`;
  }

  /** A new browser's id. */
  mint(): BrowserId {
    const sid = randomBytes(SID_BYTES).toString("base64url");
    return { sid, key: keyOf(sid) };
  }

  /** Reads a value. Its form is checked before anything is computed; the mac in constant time. Never throws. */
  read(value: string): CookieReading {
    const parts = value.length > VALUE_LENGTH_MAX ? null : VALUE.exec(value);
    if (parts === null) return { ok: false, fault: "cookie_malformed" };
    const [, id = "", sid = "", mac = ""] = parts;
    const key = this.#ring.keys.get(id);
    if (key === undefined) return { ok: false, fault: "cookie_key" };
    // Texts of one length, so that each sid and mac has one spelling.
    const isGenuine = timingSafeEqual(Buffer.from(mac), Buffer.from(macOf(key, sid)));
    if (!isGenuine) return { ok: false, fault: "cookie_signature" };
    const isStale = id !== this.#ring.first.id;
    return { ok: true, cookie: { sid, key: keyOf(sid), isStale } };
  }

  /** `Set-Cookie` for a browser; without `maxAgeSec` the cookie goes when the browser does. */
  write(sid: string, maxAgeSec: number | null = null): string {
    const key = this.#ring.first;
    const value = `v1.${key.id}.${sid}.${macOf(key, sid)}`;
    const maxAge = maxAgeSec === null ? "" : `; Max-Age=${maxAgeSec}`;
    return `${this.name}=${value}; ${this.#attributes}${maxAge}`;
  }

  /** `Set-Cookie` that removes it. */
  clear(): string {
    return `${this.name}=; ${this.#attributes}; Max-Age=0`;
  }
}

function keyOf(sid: string): string {
  return createHash("sha256").update(sid).digest("hex");
}

function macOf(key: RingKey, sid: string): string {
  const message = `hawser-session:v1:${key.id}.${sid}`;
  return createHmac("sha256", key.bytes).update(message).digest("base64url");
}
